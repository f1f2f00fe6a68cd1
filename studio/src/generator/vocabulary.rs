//! The words of the studio.

pub const GENRES: &[&str] = &[
    "Drama",
    "Comedy",
    "Action",
    "Adventure",
    "Thriller",
    "Horror",
    "Documentary",
    "Western",
    "Musical",
];
pub const REGIONS: &[&str] = &[
    "US", "UK", "EMEA", "LATAM", "APAC", "India", "Japan", "Korea", "Canada", "Nordics", "France",
    "Spain",
];
pub const DISTRIBUTORS: &[&str] = &[
    "Meridian Pictures",
    "Blue Lantern",
    "Harbor Street Films",
    "Northlight",
    "Gramercy",
    "Paper Moon",
    "Ninth Reel",
];
pub const FIRST_NAMES: &[&str] = &[
    "Ada", "Bela", "Carmen", "Diego", "Elif", "Farid", "Greta", "Hana", "Ines", "Jonas", "Kofi",
    "Lena", "Mateo", "Nadia", "Omar", "Priya", "Rosa", "Sven", "Tomas", "Yuki",
];
pub const LAST_NAMES: &[&str] = &[
    "Almeida", "Baker", "Castillo", "Duarte", "Eriksen", "Fontaine", "Garcia", "Haddad", "Ito",
    "Jensen", "Kim", "Larsen", "Moreau", "Novak", "Okafor", "Petrov", "Quispe", "Rossi", "Sato",
    "Torres", "Ueda", "Varga", "Weber", "Yilmaz",
];
pub const ADJECTIVES: &[&str] = &[
    "Last", "Silent", "Golden", "Broken", "Electric", "Hidden", "Crimson", "Endless", "Hollow",
    "Second", "Paper", "Distant", "Burning",
];
pub const NOUNS: &[&str] = &[
    "Harvest", "Signal", "Garden", "Empire", "Summer", "Voyage", "Mirror", "Letter", "Tide",
    "Orchard", "Frontier", "Winter", "Station",
];
pub const PRODUCTION_STATUSES: &[&str] = &[
    "development",
    "pre_production",
    "shooting",
    "post_production",
    "released",
    "shelved",
];
pub const ROLES: &[&str] = &[
    "actor",
    "lead_actor",
    "director",
    "writer",
    "composer",
    "editor",
    "cinematographer",
    "stunts",
    "producer",
];
pub const PHASES: &[&str] = &[
    "development",
    "pre_production",
    "shooting",
    "post_production",
    "marketing",
    "release",
];
pub const DEPARTMENTS: &[&str] = &[
    "camera",
    "cast",
    "catering",
    "costume",
    "editing",
    "lighting",
    "locations",
    "marketing",
    "music",
    "sound",
    "stunts",
    "vfx",
];
pub const CURRENCIES: &[&str] = &["USD", "USD", "USD", "USD", "EUR", "GBP", "JPY", "INR"];
pub const PAYMENT_STATUSES: &[&str] = &["planned", "approved", "scheduled", "paid", "on_hold"];
pub const INCOME: &[&str] = &[
    "presale",
    "tax_credit",
    "box_office",
    "licensing",
    "sponsorship",
];
pub const EXPENSE: &[&str] = &["payroll", "rental", "travel", "post", "insurance", "print"];
