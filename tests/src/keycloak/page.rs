//! Just enough HTML to fill Keycloak's own pages: the first form that is posted, its action, its hidden values, the names of its fields;
//! and what a page says to a person. No browser engine, and nothing fetched.

/// A form that is posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Form {
    /// Where to; may begin with `/`.
    pub(super) action: String,
    /// Names and values of hidden fields.
    pub(super) hidden: Vec<(String, String)>,
    /// Names of everything that a person can fill or press.
    pub(super) fields: Vec<String>,
}

impl Form {
    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field == name)
    }
}

/// The first form of the page whose method is POST.
pub(super) fn form(html: &str) -> Option<Form> {
    html.match_indices("<form").find_map(|(at, _)| {
        let (whole, _) = html.get(at..)?.split_once("</form")?;
        let (head, inside) = whole.split_once('>')?;
        if !attribute(head, "method")?.eq_ignore_ascii_case("post") {
            return None;
        }
        let mut form = Form { action: attribute(head, "action")?, hidden: Vec::new(), fields: Vec::new() };
        for tag in inside.split('<').filter(|tag| tag.starts_with("input") || tag.starts_with("button")) {
            let Some(name) = attribute(tag, "name") else { continue };
            if attribute(tag, "type").as_deref() == Some("hidden") {
                form.hidden.push((name, attribute(tag, "value").unwrap_or_default()));
            } else {
                form.fields.push(name);
            }
        }
        Some(form)
    })
}

/// The value of an attribute within one tag, which Keycloak always puts in double quotes.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let begin = format!("{name}=\"");
    let (at, _) = tag.match_indices(&begin).find(|(at, _)| tag[..*at].ends_with(char::is_whitespace))?;
    let (value, _) = tag.get(at + begin.len()..)?.split_once('"')?;
    Some(plain(value))
}

/// The words of a page: what is not a tag, a script or a style, with single spaces.
pub(super) fn words(html: &str) -> String {
    let body = html.split_once("<body").map_or(html, |(_, body)| body);
    let mut text = String::new();
    let mut hidden = false;
    for piece in body.split('<') {
        let (tag, said) = piece.split_once('>').unwrap_or(("", piece));
        hidden = tag.starts_with("script") || tag.starts_with("style") || (hidden && !tag.starts_with('/'));
        if !hidden {
            text.push_str(said);
            text.push(' ');
        }
    }
    plain(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Without the character references that Keycloak's templates make.
fn plain(text: &str) -> String {
    let known = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&#x2F;", "/"), ("&nbsp;", " "), ("&amp;", "&")];
    known.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGIN: &str = r#"<html><body class="x"><script>if (a < b) { c }</script><form action="/search" method="get"></form>
        <form id="kc-form-login" onsubmit="return true;" data-action="no" action="http://k/a?session_code=1&amp;tab_id=2" method="post">
        <label>Username &amp; more</label><input id="username" name="username" value="" type="text"/>
        <input name="password" type="password"><input type="hidden" name="credentialId" value="a&quot;b"/>
        <button name="login" type="submit">Sign In</button></form></body></html>"#;

    #[test]
    fn the_posted_form_is_found() {
        let form = form(LOGIN).unwrap();
        assert_eq!(form.action, "http://k/a?session_code=1&tab_id=2");
        assert_eq!(form.hidden, [("credentialId".to_owned(), "a\"b".to_owned())]);
        assert!(form.has("username") && form.has("password") && form.has("login") && !form.has("otp"));
        assert_eq!(super::form("<p>no form</p>"), None);
        assert_eq!(super::form("<form method=\"post\""), None);
    }

    #[test]
    fn words_leave_out_scripts() {
        assert_eq!(words(LOGIN), "Username & more Sign In");
    }
}
