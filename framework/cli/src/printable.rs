//! What others have written (contents of records, names, words of servers) as text and nothing else: a terminal must not obey
//! it, and a reader must not be shown another order than there is.

/// Whether a terminal obeys it, or shows what follows elsewhere than it stands. Joiners that scripts need are not among them.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// For people: lines and tabs stay, all else that is hidden is written out (`\u{1b}`).
pub(crate) fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            c if is_hidden(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// The same but for our own colours (`ESC [ … m`).
pub(crate) fn escaped_but_colors(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\u{1b}[") {
        let (before, from) = rest.split_at(at);
        shown += &escaped(before);
        let codes = from[2..].bytes().take_while(|b| b.is_ascii_digit() || *b == b';').count();
        let is_color = from.as_bytes().get(2 + codes) == Some(&b'm');
        let len = if is_color { 3 + codes } else { 1 };
        shown += &if is_color { from[..len].to_owned() } else { escaped(&from[..len]) };
        rest = &from[len..];
    }
    shown + &escaped(rest)
}

/// JSON that means the same.
pub(crate) fn escaped_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\n' => shown.push(c),
            // All of them are below U+10000.
            c if is_hidden(c) => shown += &format!("\\u{:04x}", u32::from(c)),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing_of_it() {
        assert_eq!(
            escaped("a\u{1b}[2Jb\r\n\tc\u{7f}\u{9b}31m\u{202e}d"),
            "a\\u{1b}[2Jb\\u{d}\n\tc\\u{7f}\\u{9b}31m\\u{202e}d"
        );
        assert_eq!(escaped("mañana 👩\u{200d}💻 日本"), "mañana 👩\u{200d}💻 日本");
        assert_eq!(
            escaped_but_colors("\u{1b}[1;31merror\u{1b}[0m \u{1b}[2J\u{1b}]0;x\u{7}"),
            "\u{1b}[1;31merror\u{1b}[0m \\u{1b}[2J\\u{1b}]0;x\\u{7}"
        );
    }

    #[test]
    fn json_means_the_same() {
        let value = serde_json::json!({ "a": "\u{1b}[2J\u{9b}\u{202e}\u{7f}\n" });
        let text = escaped_json(&serde_json::to_string_pretty(&value).expect("json"));
        assert!(text.chars().all(|c| c == '\n' || !is_hidden(c)), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("json"), value);
    }
}
