-- A day is written when the watermark (the slower partition's time, less an hour) has passed it, and corrected when a booking changes after that.
-- A booking that moves to another day leaves its own; a day without bookings is gone; the day that is not over is not there.
CREATE SOURCE booking_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    production_id BIGINT,
    direction VARCHAR,
    amount DECIMAL(18, 2),
    booked_at TIMESTAMP,
    ts TIMESTAMP METADATA FROM 'ts',
    uuid VARCHAR METADATA FROM 'uuid',
    WATERMARK FOR booked_at AS booked_at - INTERVAL '1' HOUR
) WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'bookings', entity = 'booking', format = 'json', envelope = 'crud', watermark.idle-timeout = '1 day');
CREATE TABLE booking (PRIMARY KEY (id)) FROM booking_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY VERSION BY ts;
CREATE SINK daily WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'daily', format = 'json', key = 'production_id, day') AS
SELECT
    production_id,
    window_start AS day,
    sum(CASE WHEN direction = 'in' THEN amount ELSE -amount END) AS net,
    avg(amount) AS mean,
    count(*) AS entries
FROM TABLE(TUMBLE(TABLE booking, DESCRIPTOR(booked_at), INTERVAL '1' DAY))
GROUP BY production_id, window_start, window_end;
