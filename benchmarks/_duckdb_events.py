"""What users did on the site, and what they were sent and used, in DuckDB's SQL: sums as of one day, one row a user."""

from __future__ import annotations

from _duckdb_windows import in_app, in_window, known, sums
from _peer import CLICKS, DAY_PARTS, OFFER_KINDS, Task


def visits(task: Task) -> dict[str, str]:
    """Sums of clicks by user; a session begins where nothing known came shortly before."""
    values = {"sessions": "begins", **{name: f"(event_type = '{kind}')" for name, kind in CLICKS.items()}}
    values |= {f"clicked_{kind}": f"(event_type = 'offer_click' AND kind = '{kind}')" for kind in OFFER_KINDS}
    values |= {f"{name}_clicks": f"(part = {place})" for place, name in enumerate(DAY_PARTS)}
    values |= {"weekend_clicks": "weekend", "app_clicks": "in_app"}
    values = {name: f"{value}::INTEGER" for name, value in values.items()}
    gap = task.settings.clean.session_gap_minutes
    zone = task.settings.features.time_zone
    local = "event_time" if zone == "UTC" else f"timezone('{zone}', event_time::TIMESTAMPTZ)"
    return {
        "kinds": "SELECT offer_id, arg_min(kind, arrived_at) AS kind FROM offers_kept GROUP BY offer_id",
        "events": (
            f"SELECT user_id, event_time, event_type, offer_id, {in_app(task)} AS in_app FROM clicks "
            f"WHERE user_id IS NOT NULL AND {known(task, 'event_time')}"
        ),
        "begun": (
            f"SELECT *, hour({local}) // {24 // len(DAY_PARTS)} AS part, isodow({local}) > 5 AS weekend, "
            f"coalesce(event_time - lag(event_time) OVER w > INTERVAL {gap} MINUTE, true) AS begins "
            "FROM events WINDOW w AS (PARTITION BY user_id ORDER BY event_time)"
        ),
        "visits": (
            f"SELECT user_id, {sums(task, 'event_time', values)}, min(event_time) AS first_click, "
            "max(event_time) AS last_click FROM begun LEFT JOIN kinds USING (offer_id) GROUP BY user_id"
        ),
    }


def sendings(task: Task) -> dict[str, str]:
    """Sums of offers sent by user, and of redemptions.

    A use within the label window is the exposure's, with none it is then ignored. What an offer takes off the price,
    in ten-thousandths if it is a share of it, is that known on the day of the sending; the first version always is.
    """
    horizon = f"INTERVAL {task.settings.examples.horizon_days} DAY"
    last_moment = f"(shown_at + {horizon} - INTERVAL 1 MICROSECOND)"
    ended = f"{last_moment} < TIMESTAMP '{task.as_of}' AND {in_window(task, last_moment, 84)}"
    values = {
        "exposures": "1", "used": "used::INTEGER",
        "app_sent": "app::INTEGER", "app_used": "(app AND used)::INTEGER",
        "message_sent": "(NOT app)::INTEGER", "message_used": "(NOT app AND used)::INTEGER",
        "percent_sent": "(percent IS NOT NULL)::INTEGER", "percent_used": "(percent IS NOT NULL AND used)::INTEGER",
        "depth_sent": "percent", "depth_used": "CASE WHEN used THEN percent END",
    }  # fmt: skip
    return {
        "seen": f"SELECT * FROM redemptions_kept WHERE {known(task, 'redeemed_at')}",
        "terms": (
            "SELECT offer_id, CASE WHEN kind = 'percent_off' THEN round(depth * 10000)::BIGINT END AS percent, "
            "CASE WHEN lag(arrived_at) OVER w IS NULL THEN '-infinity' ELSE arrived_at END AS known_at "
            "FROM offers_kept WINDOW w AS (PARTITION BY offer_id ORDER BY arrived_at)"
        ),
        "shown": (
            f"SELECT user_id, exposures.offer_id, shown_at, percent, {in_app(task)} AS app "
            "FROM exposures_kept AS exposures ASOF LEFT JOIN terms "
            "ON exposures.offer_id = terms.offer_id AND date_trunc('day', shown_at) > known_at "
            f"WHERE exposures.offer_id IS NOT NULL AND {known(task, 'shown_at')}"
        ),
        "sent": (
            "SELECT *, EXISTS (SELECT 1 FROM seen WHERE seen.user_id = shown.user_id "
            "AND seen.offer_id = shown.offer_id AND redeemed_at >= shown_at "
            f"AND redeemed_at < shown_at + {horizon}) AS used FROM shown"
        ),
        "sendings": (
            f"SELECT user_id, {sums(task, 'shown_at', values)}, count(*) FILTER (NOT used AND {ended}) AS ignored_84d, "
            "max(shown_at) AS last_sent FROM sent GROUP BY user_id"
        ),
        "uses": (
            f"SELECT user_id, {sums(task, 'redeemed_at', {'redemptions': '1'})}, max(redeemed_at) AS last_redeemed "
            "FROM seen GROUP BY user_id"
        ),
    }
