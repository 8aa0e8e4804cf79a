use hyper::StatusCode;

use super::CallError;

/// What the answer to a call means, by Master::Http::scheduler and Master::updateFramework of 1.11:
///
/// - 202: accepted for processing, all calls but UPDATE_FRAMEWORK; that is answered 200 when it is done;
/// - 307: does not lead; 503: no leader is known, or the leader has not recovered; 404: has just started;
/// - 400 and 403 before the call is looked at: the master knows no such framework, or by another stream;
/// - 400 of the call itself, and of UPDATE_FRAMEWORK 403 (roles it may not have) and 409: refused, as are 401, 406, 415
///   and 501.
pub(super) fn verdict(is_update: bool, status: StatusCode, message: String) -> Result<(), CallError> {
    let code = status.as_u16();
    Err(match status {
        StatusCode::OK | StatusCode::ACCEPTED => return Ok(()),
        StatusCode::BAD_REQUEST if is_about_the_stream(&message) => CallError::StaleStream { status: code, message },
        // Only UPDATE_FRAMEWORK has a 403 of its own; with any other call the stream is no good whatever the words.
        StatusCode::FORBIDDEN if !is_update || is_about_the_stream(&message) => {
            CallError::StaleStream { status: code, message }
        }
        StatusCode::TEMPORARY_REDIRECT | StatusCode::NOT_FOUND | StatusCode::SERVICE_UNAVAILABLE => {
            CallError::Unavailable { status: code, message }
        }
        _ => CallError::Refused { status: code, message },
    })
}

/// Only the text tells a stale stream from a bad call. Its beginning, since what follows may be the caller's own words.
fn is_about_the_stream(message: &str) -> bool {
    ["The stream ID", "Framework cannot be found", "Framework is not subscribed", "Framework is not connected via HTTP"]
        .iter()
        .any(|beginning| message.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    enum Is {
        Done,
        Stale,
        Unavailable,
        Refused,
    }

    fn of(is_update: bool, status: u16, message: &str) -> Is {
        match verdict(is_update, StatusCode::from_u16(status).unwrap(), message.into()) {
            Ok(()) => Is::Done,
            Err(CallError::StaleStream { .. }) => Is::Stale,
            Err(CallError::Unavailable { .. }) => Is::Unavailable,
            Err(CallError::Refused { .. }) => Is::Refused,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn answers_of_every_call_are_understood() {
        for is_update in [true, false] {
            for (status, message, expected) in [
                (200, "", Is::Done),
                (202, "", Is::Done),
                (400, "The stream ID 'x' included in this request didn't match", Is::Stale),
                (400, "Framework cannot be found", Is::Stale),
                (403, "Framework is not subscribed", Is::Stale),
                (403, "Framework is not connected via HTTP", Is::Stale),
                (400, "Failed to validate scheduler::Call: Expecting 'revive' to be present", Is::Refused),
                (400, "Failed to validate scheduler::Call: no 'The stream ID' here", Is::Refused),
                (307, "", Is::Unavailable),
                (404, "", Is::Unavailable),
                (503, "Master has not finished recovery", Is::Unavailable),
                (401, "", Is::Refused),
                (501, "", Is::Refused),
            ] {
                assert_eq!(of(is_update, status, message), expected, "{status} {message}");
            }
        }
    }

    #[test]
    fn a_refused_update_is_no_stale_stream() {
        for (status, message) in [
            (400, "FrameworkInfo update is not valid: Updating 'FrameworkInfo.user' is unsupported"),
            (403, "Not authorized to register framework"),
            (409, "Conflict"),
        ] {
            assert_eq!(of(true, status, message), Is::Refused, "{status} {message}");
        }
        assert_eq!(of(false, 403, "of another kind"), Is::Stale);
    }
}
