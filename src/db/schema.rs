//! The tables, for both databases: times are milliseconds since 1970 in UTC,
//! money is fen, stock is grams or pieces.
#![allow(missing_docs)]

diesel::table! { log_head (id) { id -> Integer, seq -> BigInt, epoch -> Text, pruned_to -> BigInt, } }

diesel::table! {
    events (seq) { seq -> BigInt, time -> BigInt, kind -> Text, topics -> Text, data -> Text, }
}

diesel::table! { event_blocks (block) { block -> BigInt, topics -> Binary, } }

diesel::table! { checkpoints (task) { task -> Text, seq -> BigInt, } }

diesel::table! {
    api_keys (id) {
        id -> Text,
        hash -> Text,
        role -> Text,
        merchant -> Nullable<Text>,
        note -> Text,
        created -> BigInt,
        last_used -> Nullable<BigInt>,
        revoked -> Nullable<BigInt>,
    }
}

diesel::table! {
    tickets (hash) {
        hash -> Text,
        sub -> Text,
        role -> Text,
        merchant -> Nullable<Text>,
        key_id -> Nullable<Text>,
        caller_expires -> Nullable<BigInt>,
        topics -> Text,
        expires -> BigInt,
    }
}

diesel::table! {
    idempotency (actor, idem_key) {
        actor -> Text,
        idem_key -> Text,
        fingerprint -> Text,
        status -> Integer,
        body -> Text,
        created -> BigInt,
    }
}

diesel::table! {
    markets (id) {
        id -> Text,
        name -> Text,
        name_en -> Text,
        city -> Text,
        province -> Text,
        kind -> Text,
        open_days -> Text,
        latest -> Nullable<Text>,
        summary -> Nullable<Text>,
    }
}

diesel::table! {
    market_records (seq) {
        seq -> BigInt,
        market -> Text,
        told_at -> BigInt,
        period -> Nullable<Text>,
        begins -> BigInt,
        span -> Text,
        volume_kg -> Nullable<BigInt>,
        turnover -> Nullable<BigInt>,
        average -> Nullable<BigInt>,
        level -> Nullable<BigInt>,
    }
}

diesel::table! {
    market_days (market, begins) {
        market -> Text,
        begins -> BigInt,
        due -> BigInt,
        level -> BigInt,
        base -> BigInt,
        anchor -> BigInt,
        counted -> BigInt,
        up -> BigInt,
        down -> BigInt,
        unchanged -> BigInt,
    }
}

diesel::table! {
    products (id) {
        id -> Text,
        merchant -> Text,
        market -> Text,
        category -> Text,
        name -> Text,
        name_en -> Nullable<Text>,
        brand -> Nullable<Text>,
        variety -> Nullable<Text>,
        recipe -> Nullable<Text>,
        origin -> Nullable<Text>,
        grade -> Nullable<Text>,
        vintage -> Nullable<BigInt>,
        batch -> Nullable<Text>,
        form -> Nullable<Text>,
        harvest -> Nullable<Text>,
        storage -> Nullable<Text>,
        note -> Nullable<Text>,
        unit -> Text,
        grams_per_unit -> BigInt,
        pieces_per_tong -> Nullable<BigInt>,
        tongs_per_case -> Nullable<BigInt>,
        grams_per_piece -> Nullable<BigInt>,
        price_type -> Text,
        price -> Nullable<BigInt>,
        price_at -> Nullable<BigInt>,
        stock -> Nullable<BigInt>,
        stock_at -> Nullable<BigInt>,
        status -> Text,
        version -> BigInt,
        created -> BigInt,
        updated -> BigInt,
        reserved -> BigInt,
    }
}

// The columns of products that few ask for: diesel's tables have 32 at most,
// unless all of them are compiled for 64.
diesel::table! {
    #[sql_name = "products"]
    product_asides (id) {
        id -> Text,
        price_seq -> Nullable<BigInt>,
        price_before -> Nullable<BigInt>,
        low_stock -> Nullable<BigInt>,
    }
}

diesel::table! {
    price_ticks (seq) {
        seq -> BigInt,
        product -> Text,
        price -> BigInt,
        unit -> Text,
        grams_per_unit -> BigInt,
        observed_at -> BigInt,
        received_at -> BigInt,
        source -> Text,
        kind -> Text,
        actor -> Text,
        corrects -> Nullable<BigInt>,
        note -> Nullable<Text>,
    }
}

diesel::table! {
    price_history (product, observed_at, seq) {
        product -> Text,
        observed_at -> BigInt,
        seq -> BigInt,
        price -> BigInt,
        unit -> Text,
        grams_per_unit -> BigInt,
        received_at -> BigInt,
        source -> Text,
        kind -> Text,
        actor -> Text,
        n -> BigInt,
        level -> BigInt,
    }
}

diesel::table! {
    stock_ticks (seq) {
        seq -> BigInt,
        product -> Text,
        quantity -> BigInt,
        delta -> Nullable<BigInt>,
        received_at -> BigInt,
        actor -> Text,
    }
}

diesel::table! {
    clearances (product) {
        product -> Text,
        price -> BigInt,
        starts_at -> BigInt,
        ends_at -> Nullable<BigInt>,
        active -> Bool,
        due -> Nullable<BigInt>,
    }
}

diesel::table! {
    reservations (id) {
        id -> Text,
        product -> Text,
        merchant -> Text,
        quantity -> BigInt,
        reference -> Nullable<Text>,
        actor -> Text,
        created -> BigInt,
        expires -> BigInt,
    }
}

diesel::table! {
    stock_outflow (product, day) { product -> Text, day -> BigInt, quantity -> BigInt, }
}

diesel::table! {
    feeds (merchant) {
        merchant -> Text,
        cadence_minutes -> BigInt,
        last_write -> BigInt,
        due -> Nullable<BigInt>,
    }
}

diesel::table! { rooms (name) { name -> Text, created_by -> Text, created -> BigInt, } }

diesel::table! {
    notifications (id) {
        id -> BigInt,
        user_id -> Text,
        kind -> Text,
        title -> Text,
        body -> Text,
        speech_text -> Text,
        data -> Text,
        links -> Text,
        product -> Nullable<Text>,
        rule_id -> Nullable<BigInt>,
        observed_at -> Nullable<BigInt>,
        created -> BigInt,
        late -> Bool,
        read_at -> Nullable<BigInt>,
        deleted_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    outbox (notification, channel) {
        notification -> BigInt,
        channel -> Text,
        state -> Text,
        run_at -> BigInt,
        attempts -> Integer,
    }
}

diesel::table! {
    alert_rules (id) {
        id -> BigInt,
        user_id -> Text,
        version -> BigInt,
        status -> Text,
        spec -> Text,
        fires -> BigInt,
        expires_at -> BigInt,
        f_category -> Nullable<Text>,
        f_price_type -> Nullable<Text>,
        f_market -> Nullable<Text>,
        f_merchant -> Nullable<Text>,
        f_origin -> Nullable<Text>,
        f_grade -> Nullable<Text>,
        f_form -> Nullable<Text>,
        f_vintage -> Nullable<BigInt>,
        created -> BigInt,
        updated -> BigInt,
    }
}

diesel::table! {
    alert_instances (series, rule_id) {
        series -> Text,
        rule_id -> BigInt,
        state -> Text,
        below -> Nullable<BigInt>,
        above -> Nullable<BigInt>,
        every_tick -> Nullable<BigInt>,
        weighed -> Nullable<BigInt>,
        run_at -> Nullable<BigInt>,
        last_seq -> BigInt,
        memory -> Text,
    }
}

diesel::table! {
    alert_series (series) {
        series -> Text,
        value -> Nullable<BigInt>,
        grams -> BigInt,
        seq -> BigInt,
        at -> BigInt,
        observed_at -> BigInt,
    }
}

diesel::table! {
    alert_firings (rule_id, version, series, cause_seq) {
        rule_id -> BigInt,
        version -> BigInt,
        series -> Text,
        cause_seq -> BigInt,
        cause -> Text,
        value -> Nullable<BigInt>,
        threshold -> Nullable<BigInt>,
        at -> BigInt,
        told_at -> BigInt,
        late -> Bool,
    }
}

diesel::table! {
    alert_monitors (name) {
        name -> Text,
        holder -> Text,
        token -> BigInt,
        until -> BigInt,
        within_rule -> BigInt,
    }
}

diesel::table! {
    alert_poison (seq, rule_id) { seq -> BigInt, rule_id -> BigInt, error -> Text, at -> BigInt, }
}

diesel::joinable!(alert_instances -> alert_rules (rule_id));
diesel::allow_tables_to_appear_in_same_query!(alert_instances, alert_rules);
diesel::joinable!(clearances -> products (product));
diesel::allow_tables_to_appear_in_same_query!(products, clearances, price_ticks);

diesel::table! {
    subscriptions (user_id) { user_id -> Text, version -> BigInt, data -> Text, updated -> BigInt, }
}
