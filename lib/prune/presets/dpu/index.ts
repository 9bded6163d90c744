export { Dpu, type DpuOptions } from './dpu.js'
