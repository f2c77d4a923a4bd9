-- How a tenant's reader is kept to its rows, in a way the reader's own statement cannot undo.
--
-- A session setting could be changed by the very SELECT it should confine: set_config() is a
-- function like any other. So the tenant is a row instead, written once at the start of the
-- reader's transaction by marts.enter(), before that transaction is made read-only; it is never
-- committed, seen by nobody else, and gone with the transaction.
CREATE TABLE IF NOT EXISTS marts.visits (
    xid xid8 PRIMARY KEY DEFAULT pg_current_xact_id(),
    tenant text NOT NULL
);

CREATE OR REPLACE FUNCTION marts.enter(visitor text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS
$$ INSERT INTO marts.visits (tenant) VALUES (visitor) $$;

CREATE OR REPLACE FUNCTION marts.visitor() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS
$$ SELECT tenant FROM marts.visits WHERE xid = pg_current_xact_id_if_assigned() $$;

-- A cursor takes exactly one statement that reads; several, or a COMMIT, are refused by the server.
CREATE OR REPLACE FUNCTION marts.ask(answer refcursor, question text) RETURNS refcursor
LANGUAGE plpgsql SET search_path = marts, pg_catalog AS
$$ BEGIN OPEN answer FOR EXECUTE question; RETURN answer; END $$;
