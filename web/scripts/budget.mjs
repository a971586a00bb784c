// Packs what the build made, and holds it to its budget: what sign-in and the overview load has to stay small.
import { readFileSync, readdirSync, writeFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, gzipSync, constants } from 'node:zlib';

const BUDGET = 250 * 1000;
const dist = new URL('../dist/', import.meta.url).pathname;

function files(folder) {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? files(path) : [path];
  });
}

for (const path of files(dist)) {
  if (!/\.(js|css|html|svg|json)$/.test(path) || path.includes('.vite')) continue;
  const data = readFileSync(path);
  if (data.length < 1024) continue;
  writeFileSync(`${path}.br`, brotliCompressSync(data, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
  writeFileSync(`${path}.gz`, gzipSync(data, { level: 9 }));
}

const manifest = JSON.parse(readFileSync(join(dist, '.vite/manifest.json'), 'utf8'));
const wanted = new Set();
function take(key) {
  const entry = manifest[key];
  if (!entry || wanted.has(entry.file)) return;
  wanted.add(entry.file);
  for (const other of entry.imports ?? []) take(other);
}
const entry = Object.keys(manifest).find((key) => manifest[key].isEntry);
take(entry);
// The pages that everybody meets first.
for (const key of Object.keys(manifest)) if (/pages\/(SignIn|Overview)\.tsx$/.test(key)) take(key);

let sum = 0;
for (const file of wanted) if (file.endsWith('.js')) sum += gzipSync(readFileSync(join(dist, file)), { level: 9 }).length;
const kilo = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;
console.log(`sign-in and overview: ${kilo(sum)} of compressed script in ${wanted.size} files (budget ${kilo(BUDGET)})`);
if (sum > BUDGET) {
  console.error('The budget is exceeded: load what is rare when it is needed (React.lazy).');
  process.exit(1);
}
