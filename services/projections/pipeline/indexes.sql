-- What the queries need to make a sum of cells exact to the instant: the rows that begin, end, appear or go on one day.
-- After the tables (live), or after the catch-up (rebuild).
CREATE INDEX deal_interval_begins ON deal_interval (business_from);
CREATE INDEX deal_interval_ends ON deal_interval (business_to) WHERE business_to IS NOT NULL;
CREATE INDEX deal_interval_appears ON deal_interval (recorded_from);
-- BRIN, because a b-tree on the one column that is updated would make every withdrawal write all indexes again (no HOT).
CREATE INDEX deal_interval_goes ON deal_interval USING brin (recorded_to) WITH (pages_per_range = 16, autosummarize = on);
