import { defaultGenerator, fill, type Generator, type Tensor } from '../../tensor/index.js'

/** Where the random numbers come from: by default the global generator. */
export interface Drawn {
  generator?: Generator
}

/** Fills a tensor in place with values drawn evenly from [low, high). Returns it. */
export function uniform<T extends Tensor>(tensor: T, low = 0, high = 1, { generator = defaultGenerator }: Drawn = {}): T {
  generator.fillUniform(tensor, { min: low, max: high })
  return tensor
}

/** Fills a tensor in place with normally distributed values. Returns it. */
export function normal<T extends Tensor>(tensor: T, mean = 0, std = 1, { generator = defaultGenerator }: Drawn = {}): T {
  generator.fillNormal(tensor, { mean, std })
  return tensor
}

/** Fills a tensor in place with one value. Returns it. */
export function constant<T extends Tensor>(tensor: T, value: number): T {
  fill(tensor.storage, value)
  return tensor
}
