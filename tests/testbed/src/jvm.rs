//! Flags of the servers' Java machines.

/// Common flags for a heap of `heap_mib` MiB. Without `optimised` only the first compiler works, which halves the time
/// to start.
pub(crate) fn flags(heap_mib: u32, optimised: bool) -> Vec<String> {
    let mut flags = vec![
        format!("-Xms{heap_mib}m"),
        format!("-Xmx{heap_mib}m"),
        "-Xss512k".to_owned(),
        "-XX:-UsePerfData".to_owned(),
        "-XX:+ExitOnOutOfMemoryError".to_owned(),
        "-Djava.awt.headless=true".to_owned(),
    ];
    if optimised {
        flags.push("-XX:+UseParallelGC".to_owned());
    } else {
        flags.extend(["-XX:TieredStopAtLevel=1".to_owned(), "-XX:+UseSerialGC".to_owned()]);
    }
    flags
}
