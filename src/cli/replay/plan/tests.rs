use super::*;

fn plan(text: &str) -> Plan {
    read(text.as_bytes(), &Options::default()).expect("a readable file")
}

fn writes(plan: &Plan) -> Vec<String> {
    let shown = |step: &Step| {
        let id = &plan.products[step.product].id;
        match &step.write {
            Write::Price(price) => format!("{}:{} {id} = {price}", step.line, step.column),
            Write::Stock(delta) => format!("{}:{} {id} {delta:+}", step.line, step.column),
        }
    };
    plan.steps.iter().map(shown).collect()
}

fn dirt(plan: &Plan) -> Vec<String> {
    plan.dirt.iter().map(|it| format!("{} {} {}", it.line, it.reason, it.value)).collect()
}

#[test]
fn a_wide_file_sets_a_price_for_every_cell() {
    let plan = plan(
        "\u{feff}month,colombo_usd_per_kg,note,mombasa\n1960-01,0.93,x,1.0312\n1960-02,,y,0.004\n\
         1960M03,n/a,z,-1\n1960-02,0.93,,1.025\nMay,1,,1\n",
    );
    assert_eq!(plan.shape, Shape::Wide);
    let product = |id: &str, name: &str| Product { id: id.into(), name: name.into(), line: 1 };
    assert_eq!(
        plan.products,
        [product("colombo-usd-per-kg", "colombo usd per kg"), product("mombasa", "mombasa")]
    );
    assert_eq!(
        writes(&plan),
        [
            "2:2 colombo-usd-per-kg = 0.93",
            "2:4 mombasa = 1.03",
            "5:2 colombo-usd-per-kg = 0.93",
            "5:4 mombasa = 1.02",
        ]
    );
    assert_eq!(
        dirt(&plan),
        [
            "1 no_numbers note",
            "3 price_rounds_to_zero 0.004",
            "4 bad_number n/a",
            "4 price_negative -1",
            "5 out_of_order 1960-02",
            "6 bad_time May",
        ]
    );
    assert_eq!(plan.rows, 5);
    assert_eq!(plan.steps[0].at, moment("1960-01-01").expect("a time"));
}

#[test]
fn a_factor_comes_before_the_rounding() {
    let factor = Some("7.1".parse().expect("a number"));
    let options = Options { factor, ..Options::default() };
    let plan = read(b"month,a\n1960-01,1.0312\n", &options).expect("a file");
    assert_eq!(writes(&plan), ["2:2 a = 7.32"]);
}

#[test]
fn a_movement_moves_stock_and_the_price_only_if_it_is_another() {
    let plan = plan(
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,Country\n\
         1,84969, ,6,2010-12-01 08:34:00,4.25,UK\n\
         1,84969, BOX  OF TEASPOONS ,18,2010-12-01 08:34:00,4.250,UK\n\
         C2,84969,check,-2,2010-12-01 08:45:00,4.95,UK\n\
         3,35809 A,TEA TOWEL,0,2010-12-01 08:46:00,0.0,UK\n\
         4,35809-A,TEA TOWEL,1,2010-12-01 08:47:00,1.0,UK\n\
         5,,TEA TOWEL,1,2010-12-01 08:47:00,1.0,UK\n\
         6,84969,x,1.5,2010-12-01 08:47:00,4.95,UK\n\
         7,84969,x,1,yesterday,4.25,UK\n\
         8,84969,x,1,2010-12-01 08:48\n",
    );
    assert_eq!(plan.shape, Shape::Movements);
    assert_eq!(plan.products[0].name, "BOX OF TEASPOONS");
    assert_eq!(plan.products[1].id, "35809-a");
    assert_eq!(plan.products.len(), 2);
    assert_eq!(
        writes(&plan),
        [
            "2:4 84969 -6",
            "2:6 84969 = 4.25",
            "3:4 84969 -18",
            "4:4 84969 +2",
            "4:6 84969 = 4.95",
            "10:4 84969 -1",
        ]
    );
    assert_eq!(
        dirt(&plan),
        [
            "2 no_description ",
            "5 quantity_zero 0",
            "5 price_zero 0.0",
            "6 id_collision 35809-A",
            "7 no_product ",
            "8 bad_number 1.5",
            "9 bad_time yesterday",
            "10 ragged ",
            "10 bad_number ",
        ]
    );
}

#[test]
fn a_code_in_both_cases_is_one_product() {
    let plan = plan(
        "StockCode,Quantity,InvoiceDate\n\
         47570b,2,2010-12-01 08:34:00\n\
         47570B,3,2010-12-01 08:35:00\n",
    );
    assert_eq!(plan.products.len(), 1);
    assert_eq!(writes(&plan), ["2:2 47570b -2", "3:2 47570b -3"]);
}

#[test]
fn what_is_not_utf_8_is_reported_and_sent() {
    let content = b"date;tea;a\n2010-01-01;x\xa3;3\n";
    let columns =
        Columns { product: Some("tea".into()), sold: Some("a".into()), ..Columns::default() };
    let plan = read(content, &Options { columns, ..Options::default() }).expect("a file");
    assert_eq!(writes(&plan), ["2:3 x -3"]);
    assert_eq!(dirt(&plan), ["2 not_utf8 "]);
}

#[test]
fn a_file_without_a_header_is_told_apart() {
    assert!(matches!(read(b"", &Options::default()), Err(Error::Headless)));
    assert!(matches!(read(b"\n\n", &Options::default()), Err(Error::Headless)));
    assert!(plan("month,a\n").steps.is_empty());
}
