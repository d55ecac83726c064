"""Run by scripts/fetch-odoo.sh inside `odoo shell` on a new database: makes the logins of the tests.

`reader` has the rights that docs/packs/odoo.md asks for, `blind` is an employee without them. Their API keys go into
the file that the script names.
"""

import json
import os

# Odoo ships no group that only reads sales and stock, so one is made, as the page of the pack says.
READ = [
    "res.partner", "res.currency", "res.company", "res.country", "uom.uom",
    "product.product", "product.template", "product.category",
    "stock.quant", "stock.location", "stock.lot",
    "sale.order", "sale.order.line",
    "account.move", "account.move.line", "account.payment", "account.journal",
]


def reading_group():
    group = env["res.groups"].create({"name": "Plumbline: reads only"})
    for model in READ:
        env["ir.model.access"].create({
            "name": f"plumbline {model}", "group_id": group.id, "model_id": env["ir.model"]._get_id(model),
            "perm_read": True, "perm_write": False, "perm_create": False, "perm_unlink": False,
        })
    return group


def user(login, groups):
    groups = env.ref("base.group_user") + groups
    values = {"name": login, "login": login, "group_ids": [(6, 0, groups.ids)]}
    return env["res.users"].with_context(no_reset_password=True).create(values)


users = {
    "admin": env.ref("base.user_admin"),
    "reader": user("reader", reading_group()),
    "blind": user("blind", env["res.groups"]),
}
# What a test changes in stock must be allowed to its administrator: places and lots are a setting of the product.
users["admin"].group_ids += env.ref("stock.group_stock_multi_locations") + env.ref("stock.group_production_lot")
keys = {
    login: env["res.users.apikeys"].with_user(login_user).sudo()._generate("rpc", "tests", None)
    for login, login_user in users.items()
}
env.cr.commit()
with open(os.environ["ODOO_KEYS"], "w", encoding="utf-8") as file:
    json.dump(keys, file)
