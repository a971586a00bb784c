import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

// `npm run dev` shows changes at once, against a service that runs already.
const service = process.env['TRUEUP_URL'] ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [react()],
  build: {
    target: 'es2022',
    // Everything is a file of our own: the page's policy allows no data: scripts or fonts.
    assetsInlineLimit: 0,
    sourcemap: false,
    chunkSizeWarningLimit: 400,
    modulePreload: { polyfill: false },
    manifest: true,
  },
  server: { proxy: { '/api': { target: service, changeOrigin: false }, '/docs': service } },
  test: { environment: 'happy-dom', include: ['src/**/*.test.{ts,tsx}'] },
});
