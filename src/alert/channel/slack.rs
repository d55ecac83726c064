//! Slack incoming webhooks: blocks within their limits.
//!
//! From Slack's reference: a message has at most 50 blocks; a header's plain text at most 150 characters; a section's
//! text at most 3,000 (Block Kit, "Header block", "Section block"). All texts of blocks together must stay under about
//! 13,000 characters or the whole message is refused with `msg_blocks_too_long`, which the reference does not say
//! (slackapi/bolt-js issue 2867 has measured it: 9,597 went through, 11,341 did not). Webhooks answer 429 with
//! `Retry-After` beyond one message a second.

use secrecy::SecretString;
use serde_json::{Value, json};

use super::Context;
use super::http::Request;
use crate::alert::notice::{Notice, cut};
use crate::alert::templates::{Template, TemplateError};

const HEADER: usize = 150;
const SECTION: usize = 3000;
const ALL_SECTIONS: usize = 9000;

pub(super) fn request(url: &SecretString, notice: &Notice, context: &Context<'_>) -> Result<Request, TemplateError> {
    let body = context.templates.render(Template::Slack, &notice.view)?;
    Ok(Request::new(url.clone(), &message(&notice.summary, &notice.view.headline, &body)))
}

fn message(summary: &str, headline: &str, body: &str) -> Value {
    let header =
        json!({ "type": "header", "text": { "type": "plain_text", "text": cut(headline, HEADER), "emoji": false } });
    let sections = sections(body);
    let sections = sections.iter().map(|text| json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } }));
    // What notifications and screen readers show.
    let text = summary.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    json!({ "text": cut(&text, SECTION), "blocks": std::iter::once(header).chain(sections).collect::<Vec<_>>() })
}

/// The text in pieces that end with a line. What exceeds all limits is left out, and that is said.
fn sections(body: &str) -> Vec<String> {
    let mut sections: Vec<String> = Vec::new();
    let mut total = 0;
    for line in body.lines() {
        let line = cut(line, SECTION);
        let length = line.chars().count() + 1;
        if total + length > ALL_SECTIONS {
            sections.push("…".to_owned());
            break;
        }
        total += length;
        match sections.last_mut().filter(|section| section.chars().count() + length <= SECTION) {
            Some(section) => {
                section.push('\n');
                section.push_str(&line);
            }
            None if line.is_empty() => {}
            None => sections.push(line),
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_kept() {
        let check = |headline: usize, lines: usize, width: usize, sections: usize| {
            let body = vec!["ä".repeat(width); lines].join("\n");
            let message = message(&"s".repeat(5000), &"h".repeat(headline), &body);
            let blocks = message["blocks"].as_array().unwrap();
            let length = |value: &Value| value["text"]["text"].as_str().unwrap().chars().count();
            assert!(length(&blocks[0]) <= 150 && blocks.len() <= 50);
            assert!(blocks[1..].iter().all(|block| (1..=3000).contains(&length(block))));
            assert!(blocks.iter().map(length).sum::<usize>() < 9600);
            assert_eq!(blocks.len() - 1, sections);
            assert!(message["text"].as_str().unwrap().chars().count() <= 3000);
        };
        check(10, 3, 20, 1);
        check(151, 0, 0, 0);
        check(150, 1, 4000, 1);
        check(10, 40, 100, 2);
        // Three full ones, what is left of the limit, and the ellipsis.
        check(10, 5000, 100, 5);
    }

    #[test]
    fn what_is_cut_ends_with_an_ellipsis() {
        let message = message("a <b> & c", &"h".repeat(200), &"line\n".repeat(4000));
        assert!(message["blocks"][0]["text"]["text"].as_str().unwrap().ends_with('…'));
        assert_eq!(message["blocks"].as_array().unwrap().last().unwrap()["text"]["text"], "…");
        assert_eq!(message["text"], "a &lt;b&gt; &amp; c");
    }
}
