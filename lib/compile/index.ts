export { type CompileOptions, compile, explain } from './compile.js'
export { type ExplainedStep, Explanation } from './explanation.js'
export { Program } from './program.js'
