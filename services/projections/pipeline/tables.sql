-- Tables of one generation of the read model `pipeline`; run with search_path = its own schema.
-- Disposable: there are no migrations, a new shape is a new generation. `partition` leads every key, so that the tables
-- distribute by it. The names deal_interval, _profile, _cell and lead_record are known to the machinery.

-- One row per lead: its version (dense), what the next event in order needs, and every event as a note for the others.
CREATE TABLE lead_record (
    partition integer NOT NULL,
    lead      text COLLATE "C" NOT NULL,
    version   integer NOT NULL,
    record    bytea NOT NULL,
    history   bytea NOT NULL,
    CONSTRAINT one_record_per_lead PRIMARY KEY (partition, lead)
) WITH (fillfactor = 70);
ALTER TABLE lead_record ALTER COLUMN history SET STORAGE EXTERNAL; -- compressing it again at every event would cost more

-- Each combination of labels that occurs, once; id = the first 63 bits of BLAKE2b over them, so it needs no counter.
CREATE TABLE deal_interval_profile (
    partition      integer NOT NULL,
    profile        bigint NOT NULL,
    stage          text,
    phase          text,
    outcome        text,
    pipeline       text,
    currency       text,
    owner          text,
    source_channel text,
    product        text,
    region         text,
    CONSTRAINT one_row_per_profile PRIMARY KEY (partition, profile)
);

-- One row per lead and stretch of constant labels and amount. Only recorded_to is ever written again.
CREATE TABLE deal_interval (
    partition     integer NOT NULL,
    lead          text COLLATE "C" NOT NULL,
    number        integer NOT NULL,
    profile       bigint NOT NULL,
    amount        numeric(24, 4) NOT NULL,
    business_from timestamptz NOT NULL,
    business_to   timestamptz,
    recorded_from timestamptz NOT NULL,
    recorded_to   timestamptz,
    CONSTRAINT rows_are_numbered_per_lead PRIMARY KEY (partition, lead, number)
) WITH (fillfactor = 80);

-- Signed deltas by the two days they are dated by; days are cut in the reporting zone, as days since 1970-01-01.
-- What is known now is their sum over all recorded days: most deltas of a business day are recorded on one or two days,
-- so a second table that holds these sums would be about as large, and cost as much again at every batch.
CREATE TABLE deal_interval_cell (
    partition    integer NOT NULL,
    business_day integer NOT NULL,
    recorded_day integer NOT NULL,
    profile      bigint NOT NULL,
    n            bigint NOT NULL,
    amount       numeric(38, 4) NOT NULL,
    CONSTRAINT one_cell_per_profile_and_days PRIMARY KEY (partition, business_day, recorded_day, profile)
) WITH (fillfactor = 80);
