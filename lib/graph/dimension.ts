/** A multiple of the batch size: a dimension, or a number that a forward pass made of one. */
export interface Multiple {
  readonly batch: number
}

/** A dimension of a value: a number, or a multiple of the batch size. */
export type Dimension = number | Multiple

/** Whether a dimension (or an argument of a node) is a multiple of the batch size, `{ batch: n }`, rather than a number. */
export const isMultiple = (value: unknown): value is Multiple => typeof value === 'object' && value !== null && Object.hasOwn(value, 'batch')

/** A dimension as the graph prints it: `n` is the batch size. */
export const formatDimension = (dimension: Dimension): string =>
  isMultiple(dimension) ? `${dimension.batch === 1 ? '' : dimension.batch}n` : String(dimension)

/** A shape with the batch in it: `[n, 8, 6, 6]`. */
export const formatDimensions = (shape: readonly Dimension[]): string => `[${shape.map(formatDimension).join(', ')}]`
