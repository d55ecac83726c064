//! Microsoft Teams: an Adaptive Card to a workflow "Post to a channel when a webhook request is received".
//!
//! A message is at most 28 KB (Microsoft, "Create and send messages": rate limits and size); without a charset in the
//! content type the service counts it in UTF-16, so ours names UTF-8. Older webhooks answer 200 with an error in the text
//! ("Microsoft Teams endpoint returned HTTP error 429"), of which the status in the text counts.

use secrecy::SecretString;
use serde_json::{Value, json};

use super::http::{Request, said};
use super::{Answer, Context};
use crate::alert::notice::{Notice, cut};
use crate::alert::templates::{Template, TemplateError};
use crate::alert::view::View;

/// Under 28 KB with room for what the service adds.
const MOST_BYTES: usize = 24 * 1024;

pub(super) fn request(url: &SecretString, notice: &Notice, context: &Context<'_>) -> Result<Request, TemplateError> {
    let body = context.templates.render(Template::Teams, &notice.view)?;
    let mut request = Request::new(url.clone(), &within_limit(notice, &body));
    request.judge = judge;
    Ok(request)
}

/// The card, with less and less text until it fits.
fn within_limit(notice: &Notice, body: &str) -> Value {
    let mut limit = body.chars().count();
    loop {
        let card = card(notice, &cut(body, limit));
        if card.to_string().len() <= MOST_BYTES || limit < 100 {
            return card;
        }
        limit = limit * 3 / 4;
    }
}

fn card(notice: &Notice, body: &str) -> Value {
    let view = &notice.view;
    let colour = match (view.kind.as_str(), view.severity.as_str()) {
        ("resolved", _) => "good",
        (_, "page") => "attention",
        _ => "warning",
    };
    let title = cut(&view.headline, 300);
    let mut items = vec![
        json!({ "type": "TextBlock", "text": title, "weight": "bolder", "size": "large", "color": colour, "wrap": true }),
    ];
    let facts = facts(view);
    if !facts.is_empty() {
        items.push(json!({ "type": "FactSet", "facts": facts }));
    }
    if !body.is_empty() {
        items.push(json!({ "type": "TextBlock", "text": body, "wrap": true }));
    }
    let actions = view.links.iter().take(4);
    let actions: Vec<Value> =
        actions.map(|link| json!({ "type": "Action.OpenUrl", "title": link.name, "url": link.url })).collect();
    let content = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
        "fallbackText": cut(&notice.summary, 500), "body": items, "actions": actions, "msteams": { "width": "Full" }
    });
    let attachment =
        json!({ "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": content });
    json!({ "type": "message", "summary": cut(&notice.summary, 500), "attachments": [attachment] })
}

fn facts(view: &View) -> Vec<Value> {
    let fact = |title: &str, value: &str| json!({ "title": title, "value": cut(value, 300) });
    let since = (!view.since.is_empty()).then(|| fact("Since", &format!("{} ({})", view.since, view.lasted)));
    let team = (!view.team.is_empty()).then(|| fact("Team", &view.team));
    since.into_iter().chain(team).chain(view.figures.iter().map(|figure| fact(&figure.name, &figure.value))).collect()
}

fn judge(status: u16, body: &str) -> Option<Answer> {
    let (_, inner) = body.split_once("HTTP error ").filter(|_| (200..300).contains(&status))?;
    let inner: u16 = inner.get(..3)?.parse().ok()?;
    let why = said(status, body);
    Some(if inner == 429 || inner >= 500 { Answer::Again { why, after: None } } else { Answer::Refused { why } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::sender::example_notice;

    #[test]
    fn a_card_stays_under_the_limit_whatever_it_holds() {
        for body in ["", "short", &"long ".repeat(20_000), &"\u{1}ä😀".repeat(20_000)] {
            let card = within_limit(&example_notice(), body);
            assert!(card.to_string().len() <= MOST_BYTES, "{} bytes", card.to_string().len());
            assert_eq!(card["attachments"][0]["content"]["type"], "AdaptiveCard");
        }
    }

    #[test]
    fn an_error_inside_a_good_answer_counts() {
        let text = "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with ContextId";
        assert!(matches!(judge(200, text), Some(Answer::Again { .. })));
        assert!(matches!(judge(200, &text.replace("429", "413")), Some(Answer::Refused { .. })));
        assert_eq!(judge(200, "1"), None);
        assert_eq!(judge(202, ""), None);
    }
}
