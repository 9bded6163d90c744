export * from './dtype.js'
export { formatTensor } from './format.js'
/** @internal */
export { accumulate, aloneIn, gathered, isAlone, type KeptEntries, KeptTensor, keptAlone, scattered, sharesStorage } from './kept.js'
/** @internal */
export { allocate, recycle } from './memory.js'
/** @internal */
export { allocatePanels, emptyInPanels, PanelTensor, packed, panelsOf, readOf } from './panels.js'
export { allocateStorage, ambientDevice, assign, besides, converted, deviceOf, fill, hostValues, placedOn, scope, unset } from './placement.js'
export type { Quantisation } from './quantisation.js'
export * from './random.js'
export * from './shape.js'
/** @internal */
export { micro, percent, table } from './table.js'
export * from './tensor.js'
