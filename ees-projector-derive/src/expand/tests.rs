use syn::{DeriveInput, parse_quote};

use super::read_model;

/// The generated columns and indexes, without paths.
fn made(input: &DeriveInput) -> String {
    let tokens = read_model(input)
        .unwrap()
        .to_string()
        .replace(' ', "")
        .replace("::ees_projector::", "")
        .replace("read_model::", "");
    let start = tokens.find("Table::new").unwrap();
    tokens[start..].trim_end_matches('}').to_owned()
}

#[track_caller]
fn is_refused(input: &DeriveInput, because: &str) {
    let refusal = read_model(input).unwrap_err().to_string();
    assert!(refusal.contains(because), "{refusal:?} does not say {because:?}");
}

#[test]
fn each_field_is_a_column_named_as_serde_names_it() {
    let input = parse_quote! {
        #[read_model(key = "account_id", index(owner), index(status, opened_at))]
        #[serde(rename_all = "snake_case", deny_unknown_fields, bound(serialize = ""))]
        struct BankAccount {
            #[serde(rename = "owner", alias = "holder")]
            holder: String,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            r#type: Option<u32>,
            status: Status,
            #[read_model(json)]
            last_status: Option<Status>,
            opened_at: Timestamp,
            #[serde(skip)]
            cached: Cache,
            #[serde(default = "none")]
            tags: Vec<String>,
        }
    };
    let expected = r#"
        Table::new("bank_account",Column::new("account_id",ColumnType::Text))
        .with_column(Column::new("owner",ColumnType::Text))
        .with_column(Column::new("type",ColumnType::BigInt).nullable())
        .with_column(Column::inferred::<Status>("status"))
        .with_column(Column::new("last_status",ColumnType::Json).nullable())
        .with_column(Column::new("opened_at",ColumnType::Timestamp))
        .with_column(Column::new("tags",ColumnType::Array(Element::Text)))
        .with_index(["owner"])
        .with_index(["status","opened_at"])
    "#;
    assert_eq!(made(&input), expected.split_whitespace().collect::<String>());
}

#[test]
fn a_column_can_refer_to_another_table() {
    let input = parse_quote! {
        #[read_model(key = "line", index(cart))]
        struct Line {
            #[read_model(references = "carts")]
            cart: String,
            #[read_model(column = "text", references = "coupons(code)")]
            coupon: Option<Coupon>,
        }
    };
    let expected = r#"
        Table::new("line",Column::new("line",ColumnType::Text))
        .with_column(Column::new("cart",ColumnType::Text))
        .with_column(Column::new("coupon",ColumnType::Text).nullable())
        .with_index(["cart"])
        .with_reference("cart","carts")
        .with_reference("coupon","coupons(code)")
    "#;
    assert_eq!(made(&input), expected.split_whitespace().collect::<String>());
    for reference in ["", "orders(a", "Orders(a)", "orders()", "orders(a)b", "orders, items"] {
        let input = parse_quote! {
            #[read_model(key = "id")] struct A { #[read_model(references = #reference)] a: i64 }
        };
        is_refused(&input, "can't name a table or a column");
    }
}

#[test]
fn table_and_key_are_as_they_are_said() {
    let input = parse_quote! {
        #[read_model(table = "accounts")]
        #[read_model(key(number = "bigint"))]
        struct Account {
            #[serde(with = "cents")]
            #[read_model(column = "bigint")]
            amount: Amount,
        }
    };
    let expected = r#"Table::new("accounts",Column::new("number",ColumnType::BigInt)).with_column(Column::new("amount",ColumnType::BigInt))"#;
    assert_eq!(made(&input), expected);
}

#[test]
fn what_has_no_columns_is_refused() {
    is_refused(&parse_quote! { #[read_model(key = "id")] enum A { B } }, "only a struct has columns");
    is_refused(&parse_quote! { #[read_model(key = "id")] struct A(i64); }, "name the fields");
    is_refused(&parse_quote! { #[read_model(key = "id")] struct A<T> { a: T } }, "can't be generic");
    is_refused(
        &parse_quote! { #[read_model(key = "id")] #[serde(tag = "type")] struct A { a: i64 } },
        "does not write",
    );
    is_refused(
        &parse_quote! { #[read_model(key = "id")] struct A { #[serde(flatten)] a: B } },
        "several fields",
    );
}

#[test]
fn a_name_that_is_no_column_is_refused() {
    let upper =
        parse_quote! { #[read_model(key = "id")] #[serde(rename_all = "camelCase")] struct A { a: i64 } };
    is_refused(&upper, "lower-case");
    is_refused(&parse_quote! { #[read_model(key = "Id")] struct A { a: i64 } }, "lower-case");
    is_refused(&parse_quote! { #[read_model(table = "ees_a", key = "id")] struct A { a: i64 } }, "reserved");
    is_refused(
        &parse_quote! { #[read_model(key = "id")] struct A { id: i64 } },
        "the key is a column of its own",
    );
    let twice = parse_quote! { #[read_model(key = "id")] struct A { a: i64, #[serde(rename = "a")] b: i64 } };
    is_refused(&twice, "two columns named \"a\"");
    let split =
        parse_quote! { #[read_model(key = "id")] struct A { #[serde(rename(serialize = "b"))] a: i64 } };
    is_refused(&split, "one name");
    is_refused(&parse_quote! { #[read_model(key = "id", index(b))] struct A { a: i64 } }, "no column \"b\"");
    is_refused(&parse_quote! { #[read_model(key = "id", index())] struct A { a: i64 } }, "name the columns");
    is_refused(
        &parse_quote! { #[read_model(key = "id", index(a), index(a))] struct A { a: i64 } },
        "already",
    );
}

#[test]
fn what_is_not_said_or_not_known_is_refused() {
    is_refused(&parse_quote! { struct A { a: i64 } }, "the key column is missing");
    is_refused(
        &parse_quote! { #[read_model(key(id = "double"))] struct A { a: i64 } },
        "text, bigint or uuid",
    );
    is_refused(
        &parse_quote! { #[read_model(key(id = "text", b = "text"))] struct A { a: i64 } },
        "one column",
    );
    is_refused(
        &parse_quote! { #[read_model(key = "id", tabel = "a")] struct A { a: i64 } },
        "on a struct takes",
    );
    is_refused(&parse_quote! { #[read_model(key = "id", key = "b")] struct A { a: i64 } }, "given twice");
    let json_text =
        parse_quote! { #[read_model(key = "id")] struct A { #[read_model(json, column = "text")] a: i64 } };
    is_refused(&json_text, "given twice");
    let varchar =
        parse_quote! { #[read_model(key = "id")] struct A { #[read_model(column = "varchar")] a: i64 } };
    is_refused(&varchar, "one of text, bigint");
    let with = parse_quote! { #[read_model(key = "id")] struct A { #[serde(with = "cents")] a: i64 } };
    is_refused(&with, "in another form");
    let half = parse_quote! { #[read_model(key = "id")] struct A { #[serde(skip_serializing)] a: i64 } };
    is_refused(&half, "both ways");
    let empty = parse_quote! {
        #[read_model(key = "id")] struct A { #[serde(skip_serializing_if = "Vec::is_empty")] a: Vec<i64> }
    };
    is_refused(&empty, "always has a value");
}

#[test]
fn conditions_and_added_columns_are_as_they_are_said() {
    let input = parse_quote! {
        #[read_model(key = "id", check = "cents >= 0")]
        struct Payment {
            cents: i64,
            #[read_model(added, references = "orders")]
            order_id: Option<String>,
            #[read_model(added, jsonb)]
            note: Option<Note>,
            #[serde(with = "money")]
            #[read_model(column = "decimal")]
            fee: Money,
        }
    };
    let expected = r#"
        Table::new("payment",Column::new("id",ColumnType::Text))
        .with_column(Column::new("cents",ColumnType::BigInt))
        .with_column(Column::new("order_id",ColumnType::Text).nullable().added())
        .with_column(Column::new("note",ColumnType::Jsonb).nullable().added())
        .with_column(Column::new("fee",ColumnType::Decimal))
        .with_check("cents>=0")
        .with_reference("order_id","orders")
    "#;
    assert_eq!(made(&input), expected.split_whitespace().collect::<String>());
    let value = parse_quote! { #[read_model(key = "id")] struct A { #[read_model(added)] a: i64 } };
    is_refused(&value, "must be an Option");
    is_refused(
        &parse_quote! { #[read_model(key = "id", check = "")] struct A { a: i64 } },
        "a condition in SQL",
    );
}
