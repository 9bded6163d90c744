// How the examples print what they find.
import Table from 'cli-table3'

export const percent = (share: number): string => `${(100 * share).toFixed(1)}%`

export function table(head: string[], rows: readonly (string | number)[][]): string {
  const made = new Table({ head, style: { head: [], border: [] }, chars: { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' } })
  made.push(...rows.map((row) => [...row]))
  return made.toString()
}
