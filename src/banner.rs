//! The options for the name at the top of the console.

use clap::Args;
use ees_store::http::{Banner, InvalidBanner};

use crate::exit::{Failure, Outcome};

#[derive(Args)]
pub(crate) struct BannerOptions {
    /// A name at the top of the console, such as PRODUCTION
    #[arg(long, env = "EES_CONSOLE_NAME", value_name = "NAME")]
    console_name: Option<String>,
    /// The color of that name: red, orange, green, blue, purple, gray or #RRGGBB
    #[arg(long, env = "EES_CONSOLE_COLOR", value_name = "COLOR", default_value = "red")]
    console_color: String,
}

impl BannerOptions {
    /// The banner, if it has a name.
    pub(crate) fn banner(&self) -> Outcome<Option<Banner>> {
        let name = self.console_name.as_deref();
        let banner = name.map(|name| Banner::new(name, &self.console_color)).transpose();
        banner.map_err(|error| match error {
            InvalidBanner::Color(_) => Failure::usage(format!("--console-color: {error}")),
            _ => Failure::usage(format!("--console-name: {error}")),
        })
    }
}
