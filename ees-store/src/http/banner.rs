//! The name of a server at the top of the console.

use serde::Serialize;

/// A name that the console shows at the top of every page, on a colour, so that nobody takes one server for
/// another.
///
/// ```
/// use ees_store::http::Banner;
/// assert!(Banner::new("PRODUCTION", "red").is_ok());
/// assert!(Banner::new("staging", "#0a6").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Banner {
    name: String,
    color: String,
}

/// A banner can't be shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBanner {
    /// The name is blank or too long.
    #[error("the name must have 1 to {max} characters", max = Banner::NAME_MAX)]
    Name,
    /// The colour is not known.
    #[error("the color {0:?} is unknown. There are: red, orange, green, blue, purple, gray, and #RRGGBB")]
    Color(String),
}

/// Each dark enough for white text.
const COLORS: [(&str, &str); 6] = [
    ("red", "#b3261e"),
    ("orange", "#9a4b00"),
    ("green", "#1b6e3c"),
    ("blue", "#1a56a8"),
    ("purple", "#6b3fa0"),
    ("gray", "#4b5563"),
];

impl Banner {
    /// Characters of a name at most.
    pub const NAME_MAX: usize = 64;

    /// A name, and a colour: `red`, `orange`, `green`, `blue`, `purple`, `gray` or `#RRGGBB`.
    ///
    /// # Errors
    /// If the name is blank or longer than [`NAME_MAX`](Self::NAME_MAX), or the colour is not one of these.
    pub fn new(name: &str, color: &str) -> Result<Self, InvalidBanner> {
        let given = color;
        let name = name.trim();
        if name.is_empty() || name.chars().count() > Self::NAME_MAX {
            return Err(InvalidBanner::Name);
        }
        let named = COLORS.iter().find(|(known, _)| *known == color).map(|(_, color)| *color);
        let is_hex = |digits: &str| digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let color = named.or_else(|| color.strip_prefix('#').is_some_and(is_hex).then_some(color));
        let color = color.ok_or_else(|| InvalidBanner::Color(given.to_owned()))?;
        Ok(Self { name: name.to_owned(), color: color.to_owned() })
    }
}
