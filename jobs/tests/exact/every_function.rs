//! Every function that is documented, with arguments of every type at their limits.

use super::kit::{combinations, function, named};

/// The functions that `docs/sql.md` names, between its markers.
fn documented() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/sql.md");
    let text = std::fs::read_to_string(path).expect("the page is there");
    let begin = text
        .find("<!-- functions -->")
        .expect("the marker is there");
    let end = text
        .find("<!-- /functions -->")
        .expect("the marker is there");
    let names = text[begin..end].split('`').skip(1).step_by(2);
    names.map(str::to_owned).collect()
}

/// What a function takes in the places of arguments that must be written out.
fn written_out(name: &str) -> &'static [&'static str] {
    match name {
        "date_part" | "datepart" => &["'year'", "'epoch'", "'week'"],
        "date_trunc" | "datetrunc" => &["'month'", "'day'"],
        "date_bin" => &["INTERVAL '1 hour'", "INTERVAL '1 month'"],
        _ => &[],
    }
}

/// Every way to call a function with up to three arguments, by the types of its columns.
fn calls(name: &str) -> Vec<(String, Vec<char>)> {
    const LETTERS: [char; 7] = ['i', 'b', 'd', 'f', 't', 'y', 's'];
    let mut lists: Vec<Vec<char>> = vec![Vec::new()];
    let mut from = 0;
    for _ in 0..3 {
        let to = lists.len();
        for list in from..to {
            for letter in LETTERS {
                lists.push([lists[list].as_slice(), &[letter]].concat());
            }
        }
        from = to;
    }
    let call = |list: &Vec<char>, first: &[&str]| {
        let columns = list
            .iter()
            .enumerate()
            .map(|(i, letter)| format!("{letter}{}", i + 1));
        let args: Vec<String> = first
            .iter()
            .map(|&arg| arg.to_owned())
            .chain(columns)
            .collect();
        (format!("{name}({})", args.join(", ")), list.clone())
    };
    let written = written_out(name);
    if written.is_empty() {
        return lists.iter().map(|list| call(list, &[])).collect();
    }
    let short = lists.iter().filter(|list| list.len() <= 2);
    short
        .flat_map(|list| written.iter().map(|&first| call(list, &[first])))
        .collect()
}

#[test]
fn every_function_gives_a_value_or_a_fault_of_its_row() {
    // What counts the parts of values is tried on such values in `nested`.
    let of_scalars = |name: &String| !["array_length", "cardinality"].contains(&name.as_str());
    for name in documented().into_iter().filter(of_scalars) {
        let mut planned = 0;
        for (sql, letters) in calls(&name) {
            let Ok(function) = function(&sql) else {
                continue;
            };
            planned += 1;
            let columns = combinations(&letters);
            function.outcomes(&named(&columns));
        }
        assert!(planned > 0, "'{name}' takes none of the arguments");
    }
}
