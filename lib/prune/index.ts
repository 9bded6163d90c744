export { straightThrough } from './gradients/straightThrough.js'
export { type ToggledLayer, type TogglePruningOptions, type ToggleReport, togglePruning } from './togglePruning.js'
