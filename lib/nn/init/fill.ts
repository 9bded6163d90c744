import type { Tensor } from '../../tensor/index.js'
import { Generator } from './generator.js'

/** Where the random numbers come from: by default the global generator. */
export interface Drawn {
  generator?: Generator
}

const common = new Generator(0)

/** Fills a tensor in place with values drawn evenly from [low, high). Returns it. */
export function uniform<T extends Tensor>(tensor: T, low = 0, high = 1, { generator = common }: Drawn = {}): T {
  for (let i = 0; i < tensor.size; i++) tensor.data[i] = low + (high - low) * generator.next()
  return tensor
}

/** Fills a tensor in place with normally distributed values. Returns it. */
export function normal<T extends Tensor>(tensor: T, mean = 0, deviation = 1, { generator = common }: Drawn = {}): T {
  for (let i = 0; i < tensor.size; i++)
    tensor.data[i] = mean + deviation * Math.sqrt(-2 * Math.log(1 - generator.next())) * Math.cos(2 * Math.PI * generator.next())
  return tensor
}

/** Fills a tensor in place with one value. Returns it. */
export function constant<T extends Tensor>(tensor: T, value: number): T {
  tensor.data.fill(value)
  return tensor
}
