//! Errors of users' code, and their text.

/// Any error of a projection's or a reactor's own code.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Returns `true` if the error, or one of its causes, has this type.
pub(crate) fn is_caused_by<E: std::error::Error + 'static>(
    error: &(dyn std::error::Error + 'static),
) -> bool {
    cause_of::<E>(error).is_some()
}

/// Returns the first error of this type: the error itself or one of its causes.
pub(crate) fn cause_of<'a, E: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a E> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
}

/// The longest error text that is stored, in bytes. An error may quote a whole document, and is stored with
/// each attempt.
const ERROR_BYTES_MAX: usize = 4 * 1024;

/// Formats an error and its causes as one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    let mut cause = Some(error);
    while let Some(error) = cause {
        let explained = explained(error);
        // It has said everything.
        cause = if explained.is_some() { None } else { error.source() };
        let this = explained.unwrap_or_else(|| error.to_string());
        if text.is_empty() {
            text = this;
        } else if !text.contains(&this) {
            text.push_str(": ");
            text.push_str(&this);
        }
    }
    if text.len() > ERROR_BYTES_MAX {
        text.truncate(text.floor_char_boundary(ERROR_BYTES_MAX));
        text.push_str(" ...");
    }
    text
}

/// The text of an error whose own text lacks what an operator needs.
fn explained(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    #[cfg(feature = "postgres")]
    let explained = crate::postgres::explained(error);
    #[cfg(not(feature = "postgres"))]
    let explained = {
        let _ = error;
        None
    };
    explained
}

/// Returns `true` if a database says that its user lacks permission to do this.
pub(crate) fn is_missing_right(error: &(dyn std::error::Error + 'static)) -> bool {
    #[cfg(feature = "postgres")]
    let is_missing = crate::postgres::is_missing_right(error);
    #[cfg(not(feature = "postgres"))]
    let is_missing = {
        let _ = error;
        false
    };
    is_missing
}

/// Turns a panic into an error.
pub(crate) fn panicked(who: &str, panic: &(dyn std::any::Any + Send)) -> BoxError {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("{who} panicked: {}", text.unwrap_or("no message")).into()
}
