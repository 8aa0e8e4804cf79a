//! What happened, in order: always hashed, printed on demand. Two runs of one seed have one hash.

use std::fmt::{Arguments, Write as _};

use crate::Ms;

/// FNV-1a over the text of all events.
pub(crate) struct Trace {
    hash: u64,
    print: bool,
    line: String,
}

impl Trace {
    pub(crate) fn new(print: bool) -> Self {
        Trace { hash: 0xcbf2_9ce4_8422_2325, print, line: String::new() }
    }

    pub(crate) fn say(&mut self, now: Ms, what: Arguments<'_>) {
        self.line.clear();
        // Writing to a String cannot fail.
        let _ = write!(self.line, "{now:>7} {what}");
        for byte in self.line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        if self.print {
            println!("{}", self.line);
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }
}

/// Tells the world's trace.
macro_rules! say {
    ($world:expr, $($what:tt)*) => { $world.trace.say($world.now, format_args!($($what)*)) };
}
pub(crate) use say;
