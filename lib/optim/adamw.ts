import { AdamLike, type AdamOptions, adamSettings } from './adam.js'
import type { ParamsOf } from './optimizer.js'

/** Adam with weight decay apart from the gradient. Loshchilov & Hutter, "Decoupled weight decay regularization", 2019. */
export class AdamW extends AdamLike {
  protected readonly decoupled = 1

  constructor(params: ParamsOf<AdamOptions>, options: Partial<AdamOptions> = {}) {
    super('AdamW', params, options, adamSettings(0.01))
  }
}
