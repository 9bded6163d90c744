import { native, wholeNumber } from '../../native/index.js'
import { embedding } from '../../ops/index.js'
import { empty, type Generator, type Tensor, zeros } from '../../tensor/index.js'
import { normal } from '../init/fill.js'
import { Module } from '../module.js'
import { Parameter } from '../parameter.js'

export interface EmbeddingOptions {
  /** A row that starts at zero and is not learned; negative counts from the end. */
  paddingIdx?: number | null
  /** Where the initial values come from; by default the global generator. */
  generator?: Generator
}

/**
 * A row of the weight [numEmbeddings, embeddingDim] for each index: int32 [...] → [..., embeddingDim].
 *
 * @throws EspalierError INVALID_ARGUMENT for sizes below 0 or a padding row there is not, and when used for an index outside
 *   0 … numEmbeddings − 1; DTYPE_MISMATCH, when used, for indices that are not int32
 * @example
 * ```ts
 * import { nn, tensor } from 'espalier'
 * const words = new nn.Embedding(100, 8, { paddingIdx: 0 })
 * words.forward(tensor(Int32Array.of(5, 7, 0))).shape // [3, 8]; the last row is zeros
 * ```
 */
export class Embedding extends Module {
  weight: Parameter
  readonly paddingIdx: number | null

  constructor(
    readonly numEmbeddings: number,
    readonly embeddingDim: number,
    { paddingIdx = null, generator }: EmbeddingOptions = {},
  ) {
    super()
    wholeNumber('Embedding: numEmbeddings', numEmbeddings)
    wholeNumber('Embedding: embeddingDim', embeddingDim)
    if (paddingIdx !== null) wholeNumber('Embedding: paddingIdx', paddingIdx, -numEmbeddings, numEmbeddings - 1)
    this.paddingIdx = paddingIdx !== null && paddingIdx < 0 ? paddingIdx + numEmbeddings : paddingIdx
    this.weight = new Parameter(empty([numEmbeddings, embeddingDim]))
    this.resetParameters(generator)
  }

  /** Draws the initial values anew: N(0, 1), the padding row 0. */
  resetParameters(generator?: Generator): void {
    const weight = normal(this.latentWeight('weight'), 0, 1, { generator })
    if (this.paddingIdx === null) return
    const row = zeros([this.embeddingDim], { device: weight.device, dtype: weight.dtype })
    native.copyStrided(row.shape, [1], 0, [1], this.paddingIdx * this.embeddingDim, row.storage, weight.storage)
  }

  forward(indices: Tensor): Tensor {
    return embedding(this.effective('weight'), indices, { paddingIdx: this.paddingIdx })
  }

  override extraRepr(): string {
    return `${this.numEmbeddings}, ${this.embeddingDim}${this.paddingIdx === null ? '' : `, paddingIdx: ${this.paddingIdx}`}`
  }
}
