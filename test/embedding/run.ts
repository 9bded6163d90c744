// Checks a compiled examples/embedding/run.c: node --import=tsx test/embedding/run.ts <program>
import { faultOf } from './network.js'

const fault = faultOf(process.argv[2])
if (fault !== null) console.error(fault)
console.log(fault === null ? '1 passed, 0 failed' : '0 passed, 1 failed')
if (fault !== null) process.exitCode = 1
