//! Times.

use crate::Timestamp;

/// A text is a time if and only if it is one for jiff, of a year from 1 to 9999; and it is the same moment.
pub fn timestamp(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let read = text.parse::<Timestamp>();
    // Its own moments end a day before ours do.
    match (text.parse::<jiff::Timestamp>(), &read) {
        (Ok(moment), read) => {
            let micros = moment.as_nanosecond().div_euclid(1_000);
            let (earliest, latest) = (earliest().as_micros(), latest().as_micros());
            let wanted = i64::try_from(micros).ok().filter(|micros| (earliest..=latest).contains(micros));
            assert_eq!(read.as_ref().ok().map(|time| time.as_micros()), wanted);
        }
        (Err(_), Ok(time)) => assert!(time.as_micros() > jiff::Timestamp::MAX.as_microsecond(), "{time}"),
        (Err(_), Err(_)) => {}
    }
    if let Ok(time) = read {
        comes_back(time);
        assert_eq!(Timestamp::parse_assuming_utc(text), Ok(time));
    } else if let Ok(time) = Timestamp::parse_assuming_utc(text) {
        assert_eq!(format!("{text}Z").parse(), Ok(time));
    }
    let micros = data.iter().take(8).fold(0_u64, |micros, byte| micros << 8 | u64::from(*byte));
    comes_back(Timestamp::from_micros(micros.cast_signed()));
}

fn comes_back(time: Timestamp) {
    let written = time.to_string();
    assert_eq!(written.len(), "2026-11-21T09:30:00.000001Z".len());
    assert_eq!(written.parse(), Ok(time));
    if let Ok(moment) = jiff::Timestamp::from_microsecond(time.as_micros()) {
        assert_eq!(written, format!("{moment:.6}"));
    }
    let next = time.next();
    assert!(next == latest() || next.to_string() > written, "texts are in the order of their times");
}

fn earliest() -> Timestamp {
    Timestamp::from_micros(i64::MIN)
}

fn latest() -> Timestamp {
    Timestamp::from_micros(i64::MAX)
}
