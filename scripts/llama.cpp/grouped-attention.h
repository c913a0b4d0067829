// Attention on the processor, over keys and values in half precision.
//
// The heads that share a head of keys and values (grouped-query attention) are computed together,
// so that a key or a value is widened once for all of them, and the mask is read once. The cells
// that a row does not see, most of them where all sequences share one cache, cost next to nothing.
// Sums are in single precision, whatever the processor has for half precision.
//
// Included by ops.cpp, which hands over what flash attention is asked for. `attention` says whether
// it has computed it; what it does not know stays with ops.cpp.

namespace grouped {

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

static constexpr int      CELLS  = 64; // looked at together
static constexpr int      WIDTH  = 4;  // heads computed together
static constexpr int64_t  ROWS   = 8;  // at most, in one unit of work
static constexpr int64_t  STATES = 64; // at most, in one unit of work: of a row and a head each
static constexpr int64_t  SPLIT  = 512; // from so many cells on, one row is split between threads
static constexpr uint16_t HIDDEN = 0xFC00; // in a mask: minus infinity in half precision

#if defined(__AVX512F__)
typedef __m512 vec;
static constexpr int LANES = 16;
static inline vec  zero()                           { return _mm512_setzero_ps(); }
static inline vec  splat(float x)                   { return _mm512_set1_ps(x); }
static inline vec  load(const float * x)            { return _mm512_loadu_ps(x); }
static inline vec  load(const ggml_fp16_t * x)      { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) x)); }
static inline void store(float * x, vec y)          { _mm512_storeu_ps(x, y); }
static inline vec  mul(vec a, vec b)                { return _mm512_mul_ps(a, b); }
static inline vec  fma(vec a, vec b, vec c)         { return _mm512_fmadd_ps(a, b, c); }
static inline __m256 fold(vec a) {
    const __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a), 1));
    return _mm256_add_ps(_mm512_castps512_ps256(a), high);
}
#else
typedef __m256 vec;
static constexpr int LANES = 8;
static inline vec  zero()                           { return _mm256_setzero_ps(); }
static inline vec  splat(float x)                   { return _mm256_set1_ps(x); }
static inline vec  load(const float * x)            { return _mm256_loadu_ps(x); }
static inline vec  load(const ggml_fp16_t * x)      { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) x)); }
static inline void store(float * x, vec y)          { _mm256_storeu_ps(x, y); }
static inline vec  mul(vec a, vec b)                { return _mm256_mul_ps(a, b); }
static inline vec  fma(vec a, vec b, vec c)         { return _mm256_fmadd_ps(a, b, c); }
static inline __m256 fold(vec a)                    { return a; }
#endif

// The sums of four vectors, side by side.
static inline __m128 sums(vec a, vec b, vec c, vec d) {
    const __m256 s = _mm256_hadd_ps(_mm256_hadd_ps(fold(a), fold(b)), _mm256_hadd_ps(fold(c), fold(d)));
    return _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
}

// Appends those of the cells from `first` to before `last` that the mask lets be seen; returns how
// many cells there are then.
static inline int append_seen(const uint16_t * mask, int64_t first, int64_t last, int32_t * cells, int count) {
    static constexpr uint64_t FOUR_HIDDEN = 0x0001000100010001ULL*HIDDEN;
    int64_t i = first;
    for (; mask && i + 4 <= last; i += 4) {
        uint64_t four;
        memcpy(&four, mask + i, sizeof(four));
        if (four == FOUR_HIDDEN) {
            continue;
        }
        for (int64_t j = i; j < i + 4; j++) {
            cells[count] = j;
            count += mask[j] != HIDDEN;
        }
    }
    for (; i < last; i++) {
        cells[count] = i;
        count += !mask || mask[i] != HIDDEN;
    }
    return count;
}

// scores[h][i] = q[h] . k[cells[i]]
template <int H>
static inline void multiply_keys(
        const float * const * q, const char * k, size_t stride, int64_t size,
        const int32_t * cells, int n, float (*scores)[CELLS]) {
    for (int i = 0; i < n; i++) {
        const ggml_fp16_t * key = (const ggml_fp16_t *) (k + cells[i]*stride);
        vec acc[WIDTH];
        for (int h = 0; h < WIDTH; h++) {
            acc[h] = zero();
        }
        for (int64_t d = 0; d < size; d += LANES) {
            const vec x = load(key + d);
            for (int h = 0; h < H; h++) {
                acc[h] = fma(x, load(q[h] + d), acc[h]);
            }
        }
        float s[4];
        _mm_storeu_ps(s, sums(acc[0], acc[1], acc[2], acc[3]));
        for (int h = 0; h < H; h++) {
            scores[h][i] = s[h];
        }
    }
}

// out[h] = out[h]*keep[h] + the sum over i of weights[h][i] * v[cells[i]], for 2*LANES numbers or LANES
template <int H, int W>
static inline void add_values_at(
        int64_t d, const char * v, size_t stride, const int32_t * cells, int n,
        const float (*weights)[CELLS], const float * keep, float * const * out) {
    vec acc[H][W];
    for (int h = 0; h < H; h++) {
        for (int w = 0; w < W; w++) {
            acc[h][w] = mul(load(out[h] + d + w*LANES), splat(keep[h]));
        }
    }
    for (int i = 0; i < n; i++) {
        const ggml_fp16_t * value = (const ggml_fp16_t *) (v + cells[i]*stride) + d;
        vec x[W];
        for (int w = 0; w < W; w++) {
            x[w] = load(value + w*LANES);
        }
        for (int h = 0; h < H; h++) {
            const vec weight = splat(weights[h][i]);
            for (int w = 0; w < W; w++) {
                acc[h][w] = fma(x[w], weight, acc[h][w]);
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
static inline void add_values(
        const char * v, size_t stride, int64_t size, const int32_t * cells, int n,
        const float (*weights)[CELLS], const float * keep, float * const * out) {
    int64_t d = 0;
    for (; d + 2*LANES <= size; d += 2*LANES) {
        add_values_at<H, 2>(d, v, stride, cells, n, weights, keep, out);
    }
    for (; d < size; d += LANES) {
        add_values_at<H, 1>(d, v, stride, cells, n, weights, keep, out);
    }
}

// What a softmax over the cells so far knows: their maximum, and their sum below it.
struct state {
    float max;
    float sum;
};

// Goes on with up to WIDTH heads of a row over up to CELLS cells.
template <int H>
static void attend(
        const ggml_tensor * k, const ggml_tensor * v, int64_t kv_head,
        const float * const * q, const uint16_t * mask, const int32_t * cells, int n,
        float scale, float softcap, state * states, float * const * out) {
    const char * k_data = (const char *) k->data + kv_head*k->nb[2];
    const char * v_data = (const char *) v->data + kv_head*v->nb[2];
    float scores[WIDTH][CELLS];
    float keep[WIDTH];
    multiply_keys<H>(q, k_data, k->nb[1], k->ne[0], cells, n, scores);
    const int padded = (n + 15)/16*16;
    for (int h = 0; h < H; h++) {
        float * s = scores[h];
        float max = states[h].max;
        for (int i = 0; i < n; i++) {
            s[i] *= scale;
            if (softcap != 0.0f) {
                s[i] = softcap*tanhf(s[i]);
            }
        }
        if (mask) {
            for (int i = 0; i < n; i++) {
                const uint16_t m = mask[cells[i]];
                if (m) {
                    s[i] += GGML_CPU_FP16_TO_FP32(m);
                }
            }
        }
        for (int i = 0; i < n; i++) {
            max = s[i] > max ? s[i] : max;
        }
        for (int i = n; i < padded; i++) {
            s[i] = -INFINITY;
        }
        keep[h] = states[h].max == max ? 1.0f : expf(states[h].max - max);
        states[h].max = max;
        states[h].sum = states[h].sum*keep[h] + (float) ggml_vec_soft_max_f32(padded, s, s, max);
    }
    add_values<H>(v_data, v->nb[1], v->ne[0], cells, n, scores, keep, out);
}

// The same with all heads of a group.
static void attend_group(
        const ggml_tensor * dst, int64_t kv_head,
        const float * const * q, const uint16_t * mask, const int32_t * cells, int n,
        float scale, float softcap, state * states, float * const * out) {
    static constexpr decltype(&attend<1>) with_heads[WIDTH] = { attend<1>, attend<2>, attend<3>, attend<4> };
    const ggml_tensor * k = dst->src[1];
    const ggml_tensor * v = dst->src[2];
    const int64_t group = dst->src[0]->ne[2]/k->ne[2];
    for (int64_t g = 0; g < group; g += WIDTH) {
        with_heads[std::min<int64_t>(WIDTH, group - g) - 1](
            k, v, kv_head, q + g, mask, cells, n, scale, softcap, states + g, out + g);
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

    const int64_t group = q->ne[2]/dst->src[1]->ne[2];
    const int64_t head0 = kv_head*group;
    const int64_t rows  = row1 - row0;
    const int64_t size  = dst->ne[0];

    float scale;
    float softcap;
    memcpy(&scale,   (const float *) dst->op_params + 0, sizeof(float));
    memcpy(&softcap, (const float *) dst->op_params + 2, sizeof(float));
    if (softcap != 0.0f) {
        scale /= softcap;
    }

    state         states[STATES];
    float       * out   [STATES];
    const float * query [STATES];
    for (int64_t at = 0; at < rows*group; at++) {
        const int64_t row  = row0 + at/group;
        const int64_t head = head0 + at%group;
        states[at] = { -INFINITY, 0.0f };
        query[at]  = (const float *) ((const char *) q->data + row*q->nb[1] + head*q->nb[2]);
        out[at]    = partials ? partials + head*stride + 2
                              : (float *) ((char *) dst->data + head*dst->nb[1] + row*dst->nb[2]);
        memset(out[at], 0, size*sizeof(float));
    }

    // A row takes the cells it sees by CELLS, whatever lies between them: what else the cache holds
    // does not change how its sums are rounded. Rows that share cells find them in the L1 cache.
    int32_t seen [ROWS][2*CELLS];
    int     count[ROWS] = {};
    for (int64_t ic = ic0; ic < ic1; ic += CELLS) {
        const int64_t next = std::min(ic + CELLS, ic1);
        for (int64_t r = 0; r < rows; r++) {
            const uint16_t * m = mask ? (const uint16_t *) ((const char *) mask->data + (row0 + r)*mask->nb[1]) : nullptr;
            count[r] = append_seen(m, ic, next, seen[r], count[r]);
            if (count[r] < CELLS && next < ic1) {
                continue;
            }
            int taken = 0;
            while (taken + CELLS <= count[r] || (taken < count[r] && next == ic1)) {
                const int n = std::min(CELLS, count[r] - taken);
                attend_group(dst, kv_head, query + r*group, m, seen[r] + taken, n, scale, softcap, states + r*group, out + r*group);
                taken += n;
            }
            count[r] -= taken;
            memmove(seen[r], seen[r] + taken, count[r]*sizeof(int32_t));
        }
    }

    for (int64_t at = 0; at < rows*group; at++) {
        if (partials) {
            out[at][-2] = states[at].max;
            out[at][-1] = states[at].sum;
        } else {
            ggml_vec_scale_f32(size, out[at], states[at].sum == 0.0f ? 0.0f : 1.0f/states[at].sum);
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
        k->ne[0] % LANES == 0 && v->ne[0] % LANES == 0 && q->ne[2]/k->ne[2] <= STATES;
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
