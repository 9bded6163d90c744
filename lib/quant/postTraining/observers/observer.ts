import type { CodeOptions } from '../../range.js'
import type { Histogram } from '../histogram.js'

/** A rule that says, from the values seen, at which magnitude codes should end. */
export interface Observer {
  readonly name: string
  /** The threshold > 0, or 0 where nothing but zeros was seen; `codeOfThreshold` is the code that it gets. */
  threshold(seen: Histogram, codes: CodeOptions): number
}
