//! Stop signals: CRI's enum and the model's texts.

use gantry_cri_api::v1::Signal;
use gantry_model::{Error, Result};

const PREFIX: &str = "SIGNAL_";

/// `SIGTERM`, `SIGRTMIN+3`; empty for the image's own.
///
/// # Errors
/// `InvalidArgument` for a number CRI does not know.
pub(crate) fn to_text(signal: i32) -> Result<String> {
    let known = Signal::try_from(signal)
        .map_err(|_| Error::invalid(format!("stop_signal {signal} is not a signal of cri")))?;
    if known == Signal::RuntimeDefault {
        return Ok(String::new());
    }
    let name = known.as_str_name();
    let name = name.strip_prefix(PREFIX).unwrap_or(name);
    Ok(name.replace("PLUS", "+").replace("MINUS", "-"))
}

/// The enum's value of a text as a user or an image writes it; `RuntimeDefault` for what it does not have.
pub(crate) fn from_text(text: &str) -> Signal {
    let upper = text.trim().to_ascii_uppercase();
    if let Ok(number) = upper.parse::<u8>() {
        return by_number(number);
    }
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let name = name.replace('+', "PLUS").replace('-', "MINUS");
    Signal::from_str_name(&format!("{PREFIX}SIG{name}")).unwrap_or(Signal::RuntimeDefault)
}

/// Numbers images use, of x86 and arm (signal(7)).
fn by_number(number: u8) -> Signal {
    match number {
        1 => Signal::Sighup,
        2 => Signal::Sigint,
        3 => Signal::Sigquit,
        6 => Signal::Sigabrt,
        9 => Signal::Sigkill,
        10 => Signal::Sigusr1,
        12 => Signal::Sigusr2,
        14 => Signal::Sigalrm,
        15 => Signal::Sigterm,
        18 => Signal::Sigcont,
        19 => Signal::Sigstop,
        28 => Signal::Sigwinch,
        _ => Signal::RuntimeDefault,
    }
}

#[cfg(test)]
mod tests {
    use super::{from_text, to_text};
    use gantry_cri_api::v1::Signal;

    #[test]
    fn every_signal_survives_the_way_to_text_and_back() {
        for number in 0..=65 {
            let text = to_text(number).unwrap();
            let signal = Signal::try_from(number).unwrap();
            if number == 0 {
                assert_eq!(text, "");
            } else {
                assert!(text.starts_with("SIG"), "{text}");
                assert_eq!(from_text(&text), signal, "{text}");
            }
        }
        assert!(to_text(66).is_err());
        assert_eq!(to_text(Signal::Sigrtminplus3 as i32).unwrap(), "SIGRTMIN+3");
        assert_eq!(
            to_text(Signal::Sigrtmaxminus1 as i32).unwrap(),
            "SIGRTMAX-1"
        );
    }

    #[test]
    fn images_write_signals_in_several_ways() {
        for text in ["SIGTERM", "TERM", "term", "15"] {
            assert_eq!(from_text(text), Signal::Sigterm, "{text}");
        }
        assert_eq!(from_text(""), Signal::RuntimeDefault);
        assert_eq!(from_text("nonsense"), Signal::RuntimeDefault);
    }
}
