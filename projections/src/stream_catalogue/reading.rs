//! Reading lists of streams from the catalogue, on each database.

use std::error::Error;

#[cfg(any(feature = "postgres", feature = "dynamodb"))]
use ees_store::StreamListOrder;
use ees_store::{ListedStream, StreamListPage, StreamListQuery};

#[cfg(feature = "dynamodb")]
use super::CatalogueEntry;
use super::StreamCatalogue;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
use super::statement::{Dialect, Parameter, statement};

type Page = Result<Option<StreamListPage>, Box<dyn Error + Send + Sync>>;

impl StreamCatalogue {
    /// Reads a page of the list of streams from SQLite. `None` until the projection has made its table.
    ///
    /// # Errors
    /// An error of the database.
    #[cfg(feature = "sqlite")]
    pub async fn read(database: &ees_projector::sqlite::Database, query: StreamListQuery) -> Page {
        use ees_projector::sqlite::{checkpoint, rusqlite};

        const DIALECT: Dialect = Dialect {
            table: StreamCatalogue::NAME,
            mark: '?',
            times: "first_commit, last_commit",
            time_cast: "",
        };
        let (sql, parameters) = statement(&DIALECT, &query);
        let read = database.read(move |connection| {
            // Reads both from one snapshot, so that the streams and the checkpoint fit together.
            let snapshot = connection.unchecked_transaction()?;
            let Some(checkpoint) = checkpoint(&snapshot, Self::NAME)? else { return Ok(None) };
            // The table may be of an older version of the projection.
            if !snapshot.column_exists(None, Self::NAME, "stream_id")? {
                return Ok(None);
            }
            let mut statement = snapshot.prepare_cached(&sql)?;
            for (at, parameter) in parameters.iter().enumerate() {
                match parameter {
                    Parameter::Text(text) => statement.raw_bind_parameter(at + 1, text)?,
                    Parameter::Number(number) => statement.raw_bind_parameter(at + 1, number)?,
                }
            }
            let mut rows = statement.raw_query();
            let mut streams = Vec::new();
            while let Some(row) = rows.next()? {
                let entry = (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?);
                streams.push((row.get::<_, String>(0)?, entry));
            }
            Ok::<_, rusqlite::Error>(Some((streams, checkpoint)))
        });
        let Some((rows, checkpoint)) = read.await? else { return Ok(None) };
        let streams =
            rows.into_iter().map(|(stream_id, entry)| listed(stream_id, entry)).collect::<Result<_, _>>()?;
        Ok(Some(page(streams, &query, checkpoint)))
    }

    /// Reads the same from PostgreSQL.
    ///
    /// # Errors
    /// An error of the database.
    #[cfg(feature = "postgres")]
    pub async fn read_postgres(database: &ees_projector::postgres::Database, query: StreamListQuery) -> Page {
        use ees_projector::database::Database as _;
        use ees_projector::postgres::sqlx::{self, AssertSqlSafe};

        const DIALECT: Dialect = Dialect {
            table: "stream_catalogue.stream_catalogue",
            mark: '$',
            times: "to_char(first_commit AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS first_commit_text, \
                to_char(last_commit AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS last_commit_text",
            time_cast: "::text::timestamptz",
        };
        /// SQLSTATEs of a table and of a column that do not exist.
        const MISSING: [&str; 2] = ["42P01", "42703"];

        let (sql, parameters) = statement(&DIALECT, &query);
        // One statement, so that the streams and the checkpoint fit together: that of the last partition, if there
        // are several. A swap exchanges tables that are at the same checkpoint.
        let sql = format!(
            "SELECT p.checkpoint, t.* FROM (
                SELECT coalesce((SELECT min(o.checkpoint) FROM ees.projections o
                    WHERE starts_with(o.name, '{0}/')), p.checkpoint) AS checkpoint
                FROM ees.projections p WHERE p.name = '{0}') p
             LEFT JOIN ({sql}) t ON true",
            Self::NAME
        );
        // A transaction gives up a lock that it waits for: this may be asked again and again.
        let mut tx = database.begin().await?;
        let mut select = sqlx::query_as(AssertSqlSafe(sql));
        for parameter in parameters {
            select = match parameter {
                Parameter::Text(text) => select.bind(text),
                Parameter::Number(number) => select.bind(number),
            };
        }
        type Row =
            (i64, Option<String>, Option<String>, Option<i64>, Option<i64>, Option<String>, Option<String>);
        let rows: Vec<Row> = match select.fetch_all(tx.connection()).await {
            Ok(rows) => rows,
            Err(error) => {
                let code = error.as_database_error().and_then(|answer| answer.code());
                // It was never started here, or its table is of an older version of the projection.
                return if code.is_some_and(|code| MISSING.contains(&&*code)) {
                    Ok(None)
                } else {
                    Err(error.into())
                };
            }
        };
        let Some((checkpoint, ..)) = rows.first() else { return Ok(None) };
        let checkpoint = u64::try_from(*checkpoint).unwrap_or(0).into();
        let streams = rows.into_iter().filter_map(|row| match row {
            (_, Some(stream_id), stream_type, Some(changesets), Some(events), Some(first), Some(last)) => {
                let [changesets, events] =
                    [changesets, events].map(|count| u64::try_from(count).unwrap_or(0));
                Some(listed(stream_id, (stream_type, changesets, events, first, last)))
            }
            _ => None,
        });
        let mut streams = streams.collect::<Result<Vec<_>, _>>()?;
        // A join may give the rows of a statement within it in another order.
        streams.sort_by_cached_key(|stream| stream.place(query.order));
        if query.order != StreamListOrder::Id {
            streams.reverse();
        }
        Ok(Some(page(streams, &query, checkpoint)))
    }

    /// Reads the same from DynamoDB, which has the order of the ids only. Of a type it looks through as many streams
    /// as the limit says, so a page may have fewer.
    ///
    /// # Errors
    /// [`InvalidRequest`](ees_store::Error::InvalidRequest) for another order. An error of the database.
    #[cfg(feature = "dynamodb")]
    pub async fn read_dynamodb(database: &ees_projector::dynamodb::Database, query: StreamListQuery) -> Page {
        use ees_store::Error;

        if query.order != StreamListOrder::Id {
            let why = "this server keeps the stream catalogue in DynamoDB, which lists streams by id only";
            return Err(Error::InvalidRequest(why.to_owned()).into());
        }
        let after = query.after.as_ref().map(|place| place.stream_id.as_str());
        let (table, limit) = (Self::columns(), query.limit.saturating_add(1));
        let version = ees_projector::Fold::version(&Self);
        let read = database.rows::<CatalogueEntry>(Self::NAME, version, &table, &query.prefix, after, limit);
        let Some((rows, checkpoint)) = read.await? else { return Ok(None) };
        let streams = rows.into_iter().map(|(stream_id, entry)| ListedStream {
            stream_id,
            stream_type: entry.stream_type,
            changesets: entry.changesets,
            events: entry.events,
            first_commit: entry.first_commit,
            last_commit: entry.last_commit,
        });
        let mut page = page(streams.collect(), &query, checkpoint);
        if let Some(wanted) = &query.stream_type {
            page.streams.retain(|stream| stream.stream_type.as_ref() == Some(wanted));
        }
        Ok(Some(page))
    }
}

/// The columns after the id: type, changesets, events, first and last commit.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
type Columns = (Option<String>, u64, u64, String, String);

#[cfg(any(feature = "sqlite", feature = "postgres"))]
fn listed(stream_id: String, columns: Columns) -> Result<ListedStream, Box<dyn Error + Send + Sync>> {
    let (stream_type, changesets, events, first_commit, last_commit) = columns;
    Ok(ListedStream {
        stream_id,
        stream_type: stream_type.as_deref().map(ees_store::StreamType::new).transpose()?,
        changesets,
        events,
        first_commit: first_commit.parse()?,
        last_commit: last_commit.parse()?,
    })
}

/// The page of the rows that were read: one more than the limit, if there is a next page.
fn page(
    mut streams: Vec<ListedStream>,
    query: &StreamListQuery,
    checkpoint: ees_store::Checkpoint,
) -> StreamListPage {
    let has_more = streams.len() > query.limit;
    streams.truncate(query.limit);
    let next = if has_more { streams.last().map(|last| last.place(query.order)) } else { None };
    StreamListPage { streams, next, checkpoint }
}
