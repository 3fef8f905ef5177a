//! Text in markup.

/// Text as it stands in HTML and XML, between tags and in attributes with double or single quotes. Control characters that XML does not know
/// are left out.
pub(in crate::page) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // In an attribute these would become spaces.
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            letter if letter.is_control() || ('\u{fffe}'..='\u{ffff}').contains(&letter) => {}
            letter => out.push(letter),
        }
    }
    out
}

/// About how wide a text is at the size of legends; too wide rather than too narrow.
pub(in crate::page) fn width(text: &str) -> f64 {
    text.chars().map(|letter| if letter.is_ascii_uppercase() || !letter.is_ascii() { 9.0 } else { 7.0 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_becomes_markup() {
        let hostile = "<script>alert('x')</script>\" onload=\"x&\u{0}\u{1b}[31m";
        assert_eq!(
            escape(hostile),
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot; onload=&quot;x&amp;[31m"
        );
    }
}
