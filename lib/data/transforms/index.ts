export * from './affine.js'
export { normalize, scale } from './normalize.js'
export { randomShift } from './randomShift.js'
export { compose, type Transform } from './transform.js'
