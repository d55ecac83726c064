//! What records look like when somebody spoiled them. Pure.

use super::record::{Content, Entity, Field, status, written_lines};

/// As much of a title as a target keeps that cuts it.
const CUT_TITLE: usize = 10;

/// The same record with a wrong value that was never right: honest prices end in 49 or 99, honest stocks stay below a
/// thousand, honest names have no exclamation mark.
pub fn wrong(entity: Entity, content: &Content) -> Content {
    let raised = |field, by| content.clone().with(field, content.number(field).saturating_add(by));
    match entity {
        Entity::Product => raised(Field::Price, 7),
        Entity::Stock | Entity::Shipment => raised(Field::Pieces, 1000),
        Entity::Order => wrong_lines(content),
        Entity::Customer => content.clone().with(Field::Name, format!("{}!", content.text(Field::Name))),
    }
}

/// An order with too many pieces of its first line, and nothing else changed.
fn wrong_lines(order: &Content) -> Content {
    let lines = order.lines().into_iter().enumerate();
    let lines =
        written_lines(lines.map(|(index, (sku, pieces))| (sku, if index == 0 { pieces + 1000 } else { pieces })));
    order.clone().with(Field::Lines, lines)
}

/// The same product with the beginning of its title.
pub fn truncated(content: &Content) -> Content {
    let title: String = content.text(Field::Title).chars().take(CUT_TITLE).collect();
    content.clone().with(Field::Title, title)
}

/// A record that no owner ever had.
pub fn invented(entity: Entity) -> Content {
    let text = |text: &str| text.to_owned();
    match entity {
        Entity::Product => Content::of([(Field::Title, text("Made up")), (Field::Price, text("999"))]),
        Entity::Stock => Content::of([(Field::Pieces, text("1"))]),
        Entity::Order => Content::of([
            (Field::Status, text(status::OPEN)),
            (Field::Currency, text("EUR")),
            (Field::Total, text("999")),
            (Field::Refunded, text("0")),
            (Field::Lines, text("SKU-0000*1")),
        ]),
        Entity::Shipment => {
            Content::of([(Field::Order, text("900000")), (Field::Sku, text("SKU-0000")), (Field::Pieces, text("1"))])
        }
        Entity::Customer => Content::of([(Field::Name, text("Nemo Nobody")), (Field::Email, text("nemo@example.com"))]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spoiled_differs_for_every_target_and_can_be_compared() {
        for entity in Entity::ALL {
            let (honest, spoiled) = (invented(entity), wrong(entity, &invented(entity)));
            for target in entity.targets() {
                let (honest, spoiled) = (honest.for_target(entity, *target), spoiled.for_target(entity, *target));
                assert!(
                    honest.is_some() && spoiled.is_some() && honest != spoiled,
                    "{entity} in {target}: {spoiled:?}"
                );
            }
        }
    }

    #[test]
    fn a_wrong_line_changes_no_other() {
        let order = Content::default().with(Field::Lines, "SKU-0001*2,SKU-0007*1");
        assert_eq!(wrong(Entity::Order, &order).text(Field::Lines), "SKU-0001*1002,SKU-0007*1");
    }
}
