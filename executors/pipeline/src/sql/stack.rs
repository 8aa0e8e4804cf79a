//! A stack that is deep enough for whatever a statement of the greatest length makes of itself.

use super::error::CompileError;

/// The parser limits the nesting of expressions, but not that of types, and not long chains (`a + b + c + …`,
/// `int[][]…`): what reads, plans and even drops them recurses. Only what is used of it takes memory.
const STACK_BYTES: usize = 256 * 1024 * 1024;

/// Does `work` on such a stack. A panic, which is a bug, refuses the statement and spares the process.
pub(super) fn deep<T: Send>(work: impl FnOnce() -> Result<T, CompileError> + Send) -> Result<T, CompileError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        match thread.map(|thread| thread.join()) {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => {
                let help = "write it in another way, and report it: this is a bug";
                Err(CompileError::new("the planner panicked at this SQL", help, None))
            }
            Err(error) => Err(CompileError::new(format!("no thread to read the SQL: {error}"), "try again", None)),
        }
    })
}
