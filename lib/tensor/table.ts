import Table from 'cli-table3'

type Cell = string | number | undefined

/**
 * A report to read: a line a row, under the names of the columns. Each says what it shows of a row; undefined is an empty cell.
 * @internal
 */
export function table<Row>(rows: Iterable<Row>, columns: Readonly<Record<string, (row: Row) => Cell>>): string {
  const made = new Table({ head: Object.keys(columns), style: { head: [], border: [] } })
  for (const row of rows) made.push(Object.values(columns).map((cell) => cell(row) ?? ''))
  return made.toString()
}

/** Nanoseconds as microseconds. @internal */
export const micro = (nanoseconds: number | undefined, digits: number): Cell => (nanoseconds === undefined ? undefined : (nanoseconds / 1000).toFixed(digits))

/** A share in percent. @internal */
export const percent = (share: number | undefined): Cell => (share === undefined ? undefined : `${(100 * share).toFixed(1)}%`)
