//! Compares the public API of crates with files, so that nobody changes it by accident: `just public-api`. After an
//! intended change, `just public-api-accept` writes the files.

use std::{
    collections::HashSet,
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The version of rustdoc's JSON that the crate `public-api` reads.
const FORMAT: u64 = 57;

/// Traits whose implementations are left out: they follow from a type's fields, or come with a derived trait.
const NOISE: [&str; 7] = [
    "core::marker::Freeze",
    "core::marker::StructuralPartialEq",
    "core::marker::Unpin",
    "core::marker::UnsafeUnpin",
    "core::panic::unwind_safe::RefUnwindSafe",
    "core::panic::unwind_safe::UnwindSafe",
    "utoipa::__dev::ComposeSchema",
];

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

/// Reads `check|accept JSON_FOLDER API_FOLDER CRATE...` from the command line.
fn run() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: check|accept JSON_FOLDER API_FOLDER CRATE...");
    let accept = match next()?.as_str() {
        "check" => false,
        "accept" => true,
        other => return Err(format!("`{other}` is neither check nor accept").into()),
    };
    let (json, files) = (PathBuf::from(next()?), PathBuf::from(next()?));

    let mut changed = 0;
    for name in arguments {
        let api = public_api(&json.join(format!("{}.json", name.replace('-', "_"))))?;
        let file = files.join(format!("{name}.txt"));
        let accepted = read(&file)?;
        if api == accepted {
            continue;
        }
        changed += 1;
        println!("{}", file.display());
        if accept {
            fs::create_dir_all(&files)?;
            fs::write(&file, api)?;
        } else {
            print_difference(&accepted, &api);
        }
    }

    if accept || changed == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "\nThe public API is not what the files above say. If that is intended: just public-api-accept"
    );
    Ok(ExitCode::FAILURE)
}

/// Returns a line for each public item.
fn public_api(json: &Path) -> Result<String, Box<dyn Error>> {
    let text = fs::read_to_string(json).map_err(|error| format!("{}: {error}", json.display()))?;
    let format = serde_json::from_str::<serde_json::Value>(&text)?["format_version"].as_u64();
    if format != Some(FORMAT) {
        let found = format.map_or_else(|| "no".to_owned(), |format| format.to_string());
        return Err(format!(
            "rustdoc wrote format {found}, and tests/public-api reads {FORMAT}: with another version of Rust, it needs \
             the version of the crate `public-api` that reads its format"
        )
        .into());
    }

    let api = public_api::Builder::from_rustdoc_json(json).omit_blanket_impls(true).build()?;
    Ok(essential_lines(api.items().map(ToString::to_string)))
}

/// Leaves out what says nothing new, so that a change stands out. It leaves out laws too: they are tests, and a new one breaks
/// no program.
fn essential_lines(items: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    let mut seen = HashSet::new();
    // While the methods of a trait's implementation follow: how their lines begin.
    let mut methods = None;
    for line in items {
        if line.starts_with("impl") {
            methods = implementing_type(&line)
                .map(|name| [format!("pub fn {name}::"), format!("pub async fn {name}::")]);
        } else if methods.as_ref().is_some_and(|methods| methods.iter().any(|start| line.starts_with(start)))
        {
            continue; // The trait says what they are.
        }
        if !is_law(&line) && !is_noise(&line) && seen.insert(line.clone()) {
            text += &line;
            text.push('\n');
        }
    }
    text
}

/// Returns the type of `impl Trait for Type<..> where ..`, and nothing for `impl Type`.
fn implementing_type(line: &str) -> Option<&str> {
    let (_, name) = line.split_once(" for ")?;
    Some(name.split_once(" where ").map_or(name, |(name, _)| name))
}

fn is_law(line: &str) -> bool {
    let path = line.strip_prefix("pub async fn ").and_then(|rest| rest.split(['(', '<']).next());
    path.is_some_and(|path| path.contains("::laws::"))
}

fn is_noise(line: &str) -> bool {
    let Some((implementation, name)) = line.split_once(" for ").filter(|_| line.starts_with("impl")) else {
        return false;
    };
    let implements = |name: &&str| implementation.ends_with(*name);
    // Nearly all types are both: so those that are not are listed, as `impl !Send`, and those that are under conditions.
    let is_plain = !implementation.contains('!') && !name.contains(" where ");
    NOISE.iter().any(implements)
        || is_plain && ["core::marker::Send", "core::marker::Sync"].iter().any(implements)
}

/// Returns an empty text for a file that does not exist.
fn read(file: &Path) -> io::Result<String> {
    match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read,
    }
}

fn print_difference(accepted: &str, api: &str) {
    let print = |sign: char, lines: &str, other: &str| {
        let other: HashSet<_> = other.lines().collect();
        lines.lines().filter(|line| !other.contains(line)).for_each(|line| println!("{sign}{line}"));
    };
    print('-', accepted, api);
    print('+', api, accepted);
}
