// The quantised layers, named as a user of nn would guess.
export { QuantConv1d } from './layers/quantConv1d.js'
export { QuantConv2d } from './layers/quantConv2d.js'
export { QuantEltwiseAdd, type QuantEltwiseAddOptions } from './layers/quantEltwiseAdd.js'
export { QuantHardTanh, type QuantHardTanhOptions } from './layers/quantHardTanh.js'
export { QuantIdentity, type QuantIdentityOptions } from './layers/quantIdentity.js'
export { QuantLinear } from './layers/quantLinear.js'
export { QuantReLU } from './layers/quantReLU.js'
export { TruncAvgPool2d, type TruncAvgPool2dOptions } from './layers/truncAvgPool2d.js'
