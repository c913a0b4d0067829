// Attention on the processor, over keys and values in half precision.
//
// The heads that share a head of keys and values (grouped-query attention), and the rows that see
// the same cells, are computed together: their keys and values are widened once for all of them,
// and the mask is read once. The cells that a row does not see, most of them where all sequences
// share one cache, cost next to nothing. Sums are in single precision, whatever the processor has
// for half precision, and a row's are the same bit for bit whichever rows it is computed with.
//
// Included by ops.cpp, which hands over what flash attention is asked for. `attention` says whether
// it has computed it; what it does not know stays with ops.cpp.

namespace grouped {

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

static constexpr int      CELLS    = 64;  // looked at together
static constexpr int      MAX_SIZE = 256; // of a head
static constexpr int64_t  ROWS     = 16;  // at most, in one unit of work
static constexpr int64_t  STATES   = 64;  // at most, in one unit of work: of a row and a head each
static constexpr int64_t  SPLIT    = 512; // from so many cells on, one row is split between threads
static constexpr uint16_t HIDDEN   = 0xFC00; // in a mask: minus infinity in half precision

#if defined(__AVX512F__)
typedef __m512 vec;
static constexpr int LANES = 16;
static constexpr int WIDE  = 4; // vectors of a row of a product computed together
static inline vec  splat(float x)              { return _mm512_set1_ps(x); }
static inline vec  load(const float * x)       { return _mm512_loadu_ps(x); }
static inline vec  load(const ggml_fp16_t * x) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) x)); }
static inline void store(float * x, vec y)     { _mm512_storeu_ps(x, y); }
static inline vec  mul(vec a, vec b)           { return _mm512_mul_ps(a, b); }
static inline vec  max(vec a, vec b)           { return _mm512_max_ps(a, b); }
static inline vec  fma(vec a, vec b, vec c)    { return _mm512_fmadd_ps(a, b, c); }
#else
typedef __m256 vec;
static constexpr int LANES = 8;
static constexpr int WIDE  = 2; // vectors of a row of a product computed together
static inline vec  splat(float x)              { return _mm256_set1_ps(x); }
static inline vec  load(const float * x)       { return _mm256_loadu_ps(x); }
static inline vec  load(const ggml_fp16_t * x) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) x)); }
static inline void store(float * x, vec y)     { _mm256_storeu_ps(x, y); }
static inline vec  mul(vec a, vec b)           { return _mm256_mul_ps(a, b); }
static inline vec  max(vec a, vec b)           { return _mm256_max_ps(a, b); }
static inline vec  fma(vec a, vec b, vec c)    { return _mm256_fmadd_ps(a, b, c); }
#endif
static constexpr int HIGH = 4; // rows of a product computed together

// The numbers of `count` cells that are a multiple of LANES.
static inline int padded(int count) {
    return (count + LANES - 1)/LANES*LANES;
}

// Appends those of the cells from `first` to before `last` that the mask lets be seen; returns how
// many cells there are then.
static inline int append_seen(const uint16_t * mask, int64_t first, int64_t last, int32_t * cells, int count) {
    static constexpr uint64_t FOUR_HIDDEN = 0x0001000100010001ULL*HIDDEN;
    int64_t i = first;
    for (; i + 4 <= last; i += 4) {
        uint64_t four = 0;
        if (mask) {
            memcpy(&four, mask + i, sizeof(four));
        }
        if (four == FOUR_HIDDEN) {
            continue;
        }
        for (int64_t j = i; j < i + 4; j++) {
            cells[count] = j;
            count += four == 0 || mask[j] != HIDDEN;
        }
    }
    for (; i < last; i++) {
        cells[count] = i;
        count += !mask || mask[i] != HIDDEN;
    }
    return count;
}

// out[h][d] += the sum over t of a[h][t] * b[t][d], in the order of t, for W*LANES numbers from d on
template <int H, int W>
static inline void multiply_block(
        const float * const * a, int64_t count, const float * b, int64_t stride, float * const * out, int64_t d) {
    vec acc[H][W];
    for (int h = 0; h < H; h++) {
        for (int w = 0; w < W; w++) {
            acc[h][w] = load(out[h] + d + w*LANES);
        }
    }
    for (int64_t t = 0; t < count; t++) {
        vec x[W];
        for (int w = 0; w < W; w++) {
            x[w] = load(b + t*stride + d + w*LANES);
        }
        for (int h = 0; h < H; h++) {
            const vec y = splat(a[h][t]);
            for (int w = 0; w < W; w++) {
                acc[h][w] = fma(x[w], y, acc[h][w]);
            }
        }
    }
    for (int h = 0; h < H; h++) {
        for (int w = 0; w < W; w++) {
            store(out[h] + d + w*LANES, acc[h][w]);
        }
    }
}

template <int H>
static void multiply_rows(
        const float * const * a, int64_t count, const float * b, int64_t stride, int64_t size, float * const * out) {
    int64_t d = 0;
    for (; d + WIDE*LANES <= size; d += WIDE*LANES) {
        multiply_block<H, WIDE>(a, count, b, stride, out, d);
    }
    for (; d < size; d += LANES) {
        multiply_block<H, 1>(a, count, b, stride, out, d);
    }
}

// Adds to the `rows` rows of `out`, `size` numbers each, the product of `rows` rows of `count`
// numbers and of `count` rows that are `stride` numbers apart.
static void multiply(
        int64_t rows, const float * const * a, int64_t count, const float * b, int64_t stride, int64_t size,
        float * const * out) {
    static constexpr decltype(&multiply_rows<1>) with_rows[HIGH] = {
        multiply_rows<1>, multiply_rows<2>, multiply_rows<3>, multiply_rows<4>
    };
    for (int64_t r = 0; r < rows; r += HIGH) {
        with_rows[std::min<int64_t>(HIGH, rows - r) - 1](a + r, count, b, stride, size, out + r);
    }
}

// Eight vectors of eight numbers, turned.
static inline void turn(__m256 * x) {
    __m256 y[8];
    for (int i = 0; i < 8; i += 2) {
        y[i]     = _mm256_unpacklo_ps(x[i], x[i + 1]);
        y[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        x[i]     = _mm256_shuffle_ps(y[i],     y[i + 2], 0x44);
        x[i + 1] = _mm256_shuffle_ps(y[i],     y[i + 2], 0xEE);
        x[i + 2] = _mm256_shuffle_ps(y[i + 1], y[i + 3], 0x44);
        x[i + 3] = _mm256_shuffle_ps(y[i + 1], y[i + 3], 0xEE);
    }
    for (int i = 0; i < 4; i++) {
        y[i]     = _mm256_permute2f128_ps(x[i], x[i + 4], 0x20);
        y[i + 4] = _mm256_permute2f128_ps(x[i], x[i + 4], 0x31);
    }
    memcpy(x, y, sizeof(y));
}

// wide[d][i] = k[cells[i]][d], in rows of CELLS numbers; the last cell is repeated up to padded(n).
static void widen_keys(const char * k, size_t stride, int64_t size, const int32_t * cells, int n, float * wide) {
    for (int i = 0; i < padded(n); i += 8) {
        const ggml_fp16_t * keys[8];
        for (int j = 0; j < 8; j++) {
            keys[j] = (const ggml_fp16_t *) (k + cells[std::min(i + j, n - 1)]*stride);
        }
        for (int64_t d = 0; d < size; d += 8) {
            __m256 x[8];
            for (int j = 0; j < 8; j++) {
                x[j] = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) (keys[j] + d)));
            }
            turn(x);
            for (int j = 0; j < 8; j++) {
                _mm256_storeu_ps(wide + (d + j)*CELLS + i, x[j]);
            }
        }
    }
}

// wide[i][d] = v[cells[i]][d]
static void widen_values(const char * v, size_t stride, int64_t size, const int32_t * cells, int n, float * wide) {
    for (int i = 0; i < n; i++) {
        const ggml_fp16_t * value = (const ggml_fp16_t *) (v + cells[i]*stride);
        for (int64_t d = 0; d < size; d += LANES) {
            store(wide + i*size + d, load(value + d));
        }
    }
}

// What a softmax over the cells so far knows: their maximum, and their sum below it.
struct state {
    float max;
    float sum;
};

// Makes of the products with `n` keys what their values weigh, and nothing of those from there to
// padded(end). Returns what the values so far are to be multiplied with.
static float weigh(float * scores, int n, int end, const float * bias, float scale, float softcap, state & so_far) {
    for (int i = 0; i < n; i++) {
        scores[i] *= scale;
    }
    for (int i = 0; softcap != 0.0f && i < n; i++) {
        scores[i] = softcap*tanhf(scores[i]);
    }
    for (int i = 0; bias && i < n; i++) {
        scores[i] += bias[i];
    }
    for (int i = n; i < padded(end); i++) {
        scores[i] = -INFINITY;
    }
    vec highest = splat(so_far.max);
    for (int i = 0; i < n; i += LANES) {
        highest = max(highest, load(scores + i));
    }
    float each[LANES];
    store(each, highest);
    const float max  = *std::max_element(each, each + LANES);
    const float keep = so_far.max == max ? 1.0f : expf(so_far.max - max);
    so_far.max = max;
    so_far.sum = so_far.sum*keep + (float) ggml_vec_soft_max_f32(padded(end), scores, scores, max);
    return keep;
}

// The heads of one head of keys and values, for some rows.
struct unit {
    const ggml_tensor * k;
    const ggml_tensor * v;
    int64_t kv_head;
    int64_t group; // heads
    float scale;
    float softcap;
    // by row
    const uint16_t * mask [ROWS];
    int32_t          seen [ROWS][2*CELLS]; // and not attended to yet
    int              count[ROWS];          // of those
    // by row and head
    state         states[STATES];
    const float * query [STATES];
    float       * out   [STATES];
};

// Goes on with the rows from `row0` to before `row1`, which see the first of these cells, as many of
// them as they have counted.
static void attend(unit & u, int64_t row0, int64_t row1, const int32_t * cells, int n) {
    const int64_t num    = (row1 - row0)*u.group;
    const int64_t first  = row0*u.group;
    const int64_t size_k = u.k->ne[0];
    const int64_t size_v = u.v->ne[0];
    float   wide  [CELLS*MAX_SIZE];
    float   scores[STATES][CELLS];
    float * score [STATES];
    for (int64_t at = 0; at < num; at++) {
        score[at] = scores[at];
        memset(score[at], 0, padded(n)*sizeof(float));
    }
    widen_keys((const char *) u.k->data + u.kv_head*u.k->nb[2], u.k->nb[1], size_k, cells, n, wide);
    multiply(num, u.query + first, size_k, wide, CELLS, padded(n), score);
    for (int64_t r = row0; r < row1; r++) {
        const int mine = std::min(n, u.count[r]);
        uint16_t is_biased = 0;
        for (int i = 0; u.mask[r] && i < mine; i++) {
            is_biased |= u.mask[r][cells[i]];
        }
        float bias[CELLS];
        for (int i = 0; is_biased && i < mine; i++) {
            bias[i] = GGML_CPU_FP16_TO_FP32(u.mask[r][cells[i]]);
        }
        for (int64_t at = r*u.group; at < (r + 1)*u.group; at++) {
            const float keep = weigh(
                score[at - first], mine, n, is_biased ? bias : nullptr, u.scale, u.softcap, u.states[at]);
            if (keep != 1.0f) {
                ggml_vec_scale_f32(size_v, u.out[at], keep);
            }
        }
    }
    widen_values((const char *) u.v->data + u.kv_head*u.v->nb[2], u.v->nb[1], size_v, cells, n, wide);
    multiply(num, score, n, wide, size_v, size_v, u.out + first);
}

// Goes on with all rows that have CELLS cells to attend to, or any if those are the last ones. Rows
// that see the same ones, the last ones maybe apart, are taken together.
static void attend_due(unit & u, int64_t rows, bool is_end) {
    const auto is_due = [&](int64_t r) { return u.count[r] >= CELLS || (is_end && u.count[r] > 0); };
    for (int64_t row0 = 0; row0 < rows;) {
        if (!is_due(row0)) {
            row0++;
            continue;
        }
        int64_t longest = row0;
        int64_t row1    = row0 + 1;
        for (; row1 < rows && is_due(row1); row1++) {
            const int common = std::min({ CELLS, u.count[longest], u.count[row1] });
            if (memcmp(u.seen[longest], u.seen[row1], common*sizeof(int32_t)) != 0) {
                break;
            }
            longest = u.count[row1] > u.count[longest] ? row1 : longest;
        }
        attend(u, row0, row1, u.seen[longest], std::min(CELLS, u.count[longest]));
        for (; row0 < row1; row0++) {
            const int taken = std::min(CELLS, u.count[row0]);
            u.count[row0] -= taken;
            memmove(u.seen[row0], u.seen[row0] + taken, u.count[row0]*sizeof(int32_t));
        }
    }
}

// Computes the heads of one head of keys and values, for the rows from `row0` to before `row1`, over
// the cells from `ic0` to before `ic1`. Writes the result to `dst`, or where `partials` are given
// the maximum, the sum and the values so far of each head, `stride` numbers apart.
static void compute(
        ggml_tensor * dst, int64_t kv_head, int64_t row0, int64_t row1, int64_t ic0, int64_t ic1,
        float * partials, int64_t stride) {
    const ggml_tensor * q    = dst->src[0];
    const ggml_tensor * mask = dst->src[3];

    const int64_t rows = row1 - row0;
    const int64_t size = dst->ne[0];

    unit u;
    u.k       = dst->src[1];
    u.v       = dst->src[2];
    u.kv_head = kv_head;
    u.group   = q->ne[2]/u.k->ne[2];
    memcpy(&u.scale,   (const float *) dst->op_params + 0, sizeof(float));
    memcpy(&u.softcap, (const float *) dst->op_params + 2, sizeof(float));
    if (u.softcap != 0.0f) {
        u.scale /= u.softcap;
    }
    for (int64_t at = 0; at < rows*u.group; at++) {
        const int64_t row  = row0 + at/u.group;
        const int64_t head = kv_head*u.group + at%u.group;
        u.states[at] = { -INFINITY, 0.0f };
        u.query[at]  = (const float *) ((const char *) q->data + row*q->nb[1] + head*q->nb[2]);
        u.out[at]    = partials ? partials + head*stride + 2
                                : (float *) ((char *) dst->data + head*dst->nb[1] + row*dst->nb[2]);
        memset(u.out[at], 0, size*sizeof(float));
    }
    for (int64_t r = 0; r < rows; r++) {
        u.mask[r]  = mask ? (const uint16_t *) ((const char *) mask->data + (row0 + r)*mask->nb[1]) : nullptr;
        u.count[r] = 0;
    }

    // A row takes the cells it sees by CELLS, whatever lies between them: what else the cache holds
    // does not change how its sums are rounded.
    for (int64_t ic = ic0; ic < ic1; ic += CELLS) {
        const int64_t next = std::min(ic + CELLS, ic1);
        for (int64_t r = 0; r < rows; r++) {
            u.count[r] = append_seen(u.mask[r], ic, next, u.seen[r], u.count[r]);
        }
        attend_due(u, rows, false);
    }
    attend_due(u, rows, true);

    for (int64_t at = 0; at < rows*u.group; at++) {
        const state & s = u.states[at];
        if (partials) {
            u.out[at][-2] = s.max;
            u.out[at][-1] = s.sum;
        } else {
            ggml_vec_scale_f32(size, u.out[at], s.sum == 0.0f ? 0.0f : 1.0f/s.sum);
        }
    }
}

// Whether attention of this shape is computed here.
static bool is_known(const ggml_tensor * dst) {
    const ggml_tensor * q = dst->src[0];
    const ggml_tensor * k = dst->src[1];
    const ggml_tensor * v = dst->src[2];
    const ggml_tensor * mask = dst->src[3];

    float max_bias;
    memcpy(&max_bias, (const float *) dst->op_params + 1, sizeof(float));

    return q->type == GGML_TYPE_F32 && k->type == GGML_TYPE_F16 && v->type == GGML_TYPE_F16 &&
        max_bias == 0.0f && dst->src[4] == nullptr &&
        q->ne[3] == 1 && k->ne[3] == 1 && v->ne[3] == 1 && k->ne[2] == v->ne[2] &&
        (mask == nullptr || (mask->ne[2] == 1 && mask->ne[3] == 1)) &&
        k->ne[0] % LANES == 0 && v->ne[0] % LANES == 0 && k->ne[0] <= MAX_SIZE && v->ne[0] <= MAX_SIZE &&
        q->ne[2]/k->ne[2] <= STATES;
}

// Computes `dst` together with the other threads; false where its shape is not known here.
static bool attention(const ggml_compute_params * params, ggml_tensor * dst) {
    if (!is_known(dst)) {
        return false;
    }
    const int64_t rows     = dst->src[0]->ne[1];
    const int64_t heads    = dst->src[0]->ne[2];
    const int64_t cells    = dst->src[1]->ne[1];
    const int64_t kv_heads = dst->src[1]->ne[2];
    const int64_t size_k   = dst->src[1]->ne[0];
    const int64_t size_v   = dst->src[2]->ne[0];
    const int64_t threads  = params->nth;

    if (rows == 1 && kv_heads % threads != 0 && cells >= SPLIT) {
        // Heads do not go round evenly: each thread takes some of the cells, as ops.cpp does.
        const int64_t each   = (cells + threads - 1)/threads;
        const int64_t first  = params->ith*each;
        const int64_t stride = threads*(2 + size_v);
        float * partials = (float *) params->wdata + threads*(size_k + 2*size_v + CACHE_LINE_SIZE_F32);
        for (int64_t h = 0; first < cells && h < kv_heads; h++) {
            compute(dst, h, 0, 1, first, std::min(first + each, cells), partials + params->ith*(2 + size_v), stride);
        }
        ggml_barrier(params->threadpool);
        ggml_flash_attn_ext_reduce_partials(params, dst, threads, each);
        return true;
    }

    const int64_t fair   = rows*kv_heads/(4*threads); // some units for each thread, to even out
    const int64_t most   = std::min(ROWS, STATES/(heads/kv_heads));
    const int64_t unit   = std::max<int64_t>(1, std::min(fair, most));
    const int64_t blocks = (rows + unit - 1)/unit;
    if (params->ith == 0) {
        ggml_threadpool_chunk_set(params->threadpool, params->nth);
    }
    ggml_barrier(params->threadpool);
    for (int64_t i = params->ith; i < kv_heads*blocks; i = ggml_threadpool_chunk_add(params->threadpool, 1)) {
        const int64_t first = i % blocks * unit;
        compute(dst, i/blocks, first, std::min(first + unit, rows), 0, cells, nullptr, 0);
    }
    return true;
}

#else

static bool attention(const ggml_compute_params *, ggml_tensor *) {
    return false;
}

#endif

} // namespace grouped
