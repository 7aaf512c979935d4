-- How many rows of some events still hold anything that a receiver answered; `events` are their ids, parted by commas.
SELECT count() AS n
FROM attempts
WHERE store_id = {store_id:String}
    AND event_id IN (SELECT arrayJoin(splitByChar(',', {events:String})))
    AND (
        response_body NOT IN ('', {mark:String})
        OR response_headers NOT IN ('', {mark:String})
        OR error_detail NOT IN ('', {mark:String})
    )
