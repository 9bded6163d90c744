// The quantised layers, named as a user of nn would guess.
export { QuantConv2d } from './layers/quantConv2d.js'
export { QuantIdentity } from './layers/quantIdentity.js'
export { QuantLinear } from './layers/quantLinear.js'
export { QuantReLU } from './layers/quantReLU.js'
