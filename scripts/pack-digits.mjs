// Packs the digits into data/digits.bin.gz: every value of digits.csv is a byte, the table is stored
// column by column (it compresses better so), then gzipped.
// Usage: node scripts/pack-digits.mjs path/to/digits.csv
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

const rows = readFileSync(process.argv[2], 'utf8')
  .trim()
  .split('\n')
  .slice(1)
  .map((line) => line.split(',').map(Number))
const columns = rows[0].length
const bytes = Buffer.alloc(rows.length * columns)
for (let column = 0; column < columns; column++) for (let row = 0; row < rows.length; row++) bytes[column * rows.length + row] = rows[row][column]
writeFileSync(fileURLToPath(new URL('../data/digits.bin.gz', import.meta.url)), gzipSync(bytes, { level: 9 }))
console.log(`${rows.length} images`)
