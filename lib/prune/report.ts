/** What became of one layer. */
export interface PrunedLayer {
  readonly name: string
  /** Name of the structure whose units are counted. */
  readonly structure: string
  readonly units: number
  /** Units that should have fallen by now; null where several layers share an amount, and before the first draw. */
  readonly asked: number | null
  /** Units that have fallen. */
  readonly fallen: number
  readonly weights: number
  /** Weights that count as 0 in the forward pass. */
  readonly zeros: number
  /** zeros / weights. */
  readonly sparsity: number
  /** Filters without any weight left, and those of them that still emit their bias. */
  readonly dead: number
  readonly emitting: number
}

/** What a pruner has done so far. */
export interface PruneReport {
  readonly layers: readonly PrunedLayer[]
  /** The layers taken together. */
  readonly total: Omit<PrunedLayer, 'name' | 'structure'>
  /** What a reader should know: a draw that changed nothing, filters that emit their bias, an amount that was not reached. */
  readonly warnings: readonly string[]
  /** What happened, in a sentence. */
  readonly message: string
}
