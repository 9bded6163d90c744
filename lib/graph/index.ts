export { type Dimension, formatDimensions, isMultiple, type Multiple } from './dimension.js'
export { type Argument, Graph, type Node, Value, valuesOf } from './graph.js'
export { type TraceOptions, trace } from './trace.js'
